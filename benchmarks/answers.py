"""Raw listwise answers through the parser: every verdict with its count, and how many are the input order.

    python -m benchmarks.answers answers.jsonl [more.jsonl ...]

A file holds one answer a line: {"n": documents in the prompt, "response": the raw text}.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from ranking.labelling.answers import read_answer


def main(paths: list[Path]) -> None:
    for path in paths:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        read = [(row["n"], read_answer(row["response"], row["n"])) for row in rows]
        verdicts = Counter(answer.verdict for _, answer in read)
        usable = sum(answer.usable for _, answer in read)
        whole = sum(answer.missing == 0 for _, answer in read)
        unchanged = sum(answer.order == tuple(range(1, documents + 1)) for documents, answer in read)
        print(f"{path.name}: {len(read)} answers, {usable} usable, {whole} list every document, {unchanged} are the input order")
        for verdict, count in verdicts.most_common():
            print(f"  {verdict:<13}{count:>5}")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
