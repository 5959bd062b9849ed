r"""Score documents for a query with a saved student.

    python examples/score_pairs.py runs/quickstart/students/rra-bert/model \
        "merge sorted lists" "heapq.merge(*iterables)" "os.path.join"

Prints one document per line, best first.
"""

from __future__ import annotations

import sys

from students.scoring import Scorer


def main(folder: str, query: str, *documents: str) -> None:
    """Print the documents with their raw scores, best first."""
    scores = Scorer(folder).score([(query, document) for document in documents])
    for score, document in sorted(zip(scores, documents, strict=True), reverse=True):
        print(f"{score:8.3f}  {document}")


if __name__ == "__main__":
    main(*sys.argv[1:])
