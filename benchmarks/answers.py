"""Parse and audit raw listwise answers, and optionally draw a picture of each file.

    python -m benchmarks.answers [--pictures FOLDER] answers.jsonl [more.jsonl ...]

Each line of a file is one answer: {"query": text, "n": number of documents in the prompt, "response": raw text}. The
files do not name the documents, so agreement and quality stay unknown. Windows of one query count as one list. The
audit assumes unshuffled prompts, because sliding windows show documents in the order of the retriever and of earlier
windows.
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
    """Audit each file and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, metavar="answers.jsonl")
    parser.add_argument("--pictures", type=Path, help="folder for one SVG per file")
    arguments = parser.parse_args()
    for path in arguments.paths:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        shown = [ShownAnswer(row["query"], row["n"], read_answer(row["response"], row["n"])) for row in rows]
        report = audit(shown, shuffled=False, seed=SEED)
        print(f"{path.name}\n{format_audit(report)}\n")
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            (arguments.pictures / f"{path.stem}.svg").write_text(svg_of(report, path.stem), encoding="utf-8")


if __name__ == "__main__":
    main()
