"""Raw listwise answers through the parser and the audit, with a picture for each file where a folder is named.

    python -m benchmarks.answers [--pictures FOLDER] answers.jsonl [more.jsonl ...]

A file holds one answer a line: {"query": text, "n": documents in the prompt, "response": the raw text}. Which
documents were shown is not told, so agreement and quality stay unknown; windows of one query count as one list.
The prompts of sliding windows stand in the order of the retriever and of the windows before: not shuffled.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ranking.audit.audit_report import audit
from ranking.audit.audit_text import format_audit
from ranking.audit.picture import svg_of
from ranking.audit.shown_answers import ShownAnswer
from ranking.labels.listwise_answers import read_answer

SEED = 13


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="answers.jsonl")
    parser.add_argument("--pictures", type=Path, help="folder for an SVG of each file")
    arguments = parser.parse_args()
    for path in arguments.paths:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        shown = [ShownAnswer(row["query"], row["n"], read_answer(row["response"], row["n"])) for row in rows]
        found = audit(shown, shuffled=False, seed=SEED)
        print(f"{path.name}\n{format_audit(found)}\n")
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            (arguments.pictures / f"{path.stem}.svg").write_text(svg_of(found, path.stem), encoding="utf-8")


if __name__ == "__main__":
    main()
