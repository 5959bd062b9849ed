"""Measure how many ordinary documents prompt sanitizing changes.

    python -m benchmarks.sanitized_documents [CORPUS.jsonl ...]

Reads the embedded collection, and corpora in BEIR's format with the fields `title` and `text`. Prints for each the
documents that change, without and with those that change only because of control and invisible characters.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from ranking.collections import pydoc
from ranking.collections.lines import read_lines
from ranking.prompts import sanitize
from ranking.prompts.hidden_characters import without_hidden
from ranking.records import content


def changed(texts: Iterable[str]) -> tuple[int, int, int]:
    """Count texts.

    Returns:
        Number of texts, of those that change, and of those in which visible characters change.
    """
    total, all_changed, visibly_changed = 0, 0, 0
    for text in texts:
        sanitized = sanitize(text)
        total += 1
        all_changed += sanitized != text
        visibly_changed += sanitized != without_hidden(text)
    return total, all_changed, visibly_changed


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path, nargs="*", help="files in BEIR's corpus format")
    arguments = parser.parse_args()
    collections = {"pydoc": [document.content for document in pydoc.read("test").documents]}
    for path in arguments.corpora:
        rows = (json.loads(line) for _, line in read_lines(path))
        collections[str(path)] = [content(row.get("title", ""), row["text"]) for row in rows]
    for name, texts in collections.items():
        total, all_changed, visibly_changed = changed(texts)
        print(
            f"{name}: {all_changed} of {total} documents change ({all_changed / total:.2%}), "
            f"{visibly_changed} of them in visible characters ({visibly_changed / total:.2%})"
        )


if __name__ == "__main__":
    main()
