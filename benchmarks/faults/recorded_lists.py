"""Generate what the killed writers write: models with random weights, and candidate lists with recorded answers."""

from __future__ import annotations

import json
import random
from pathlib import Path

from ranking.records import Candidate, PreRankedCandidate, PreRankedList
from ranking.storage.folder import Folder

_FILES, _FILE_BYTES = 4, 2 * 2**20
_CANDIDATES = 10
_EMPTY_INTERVAL, _UNRECORDED_INTERVAL = 20, 9


def write_model(folder: Path, seed: int) -> Folder:
    """Write a model folder with random weights."""
    folder.mkdir()
    generator = random.Random(seed)
    for number in range(_FILES):
        (folder / f"weights-{number}").write_bytes(generator.randbytes(_FILE_BYTES))
    return Folder(folder)


def write_lists(folder: Path, queries: int) -> tuple[Folder, Path]:
    """Write candidate lists and recorded answers.

    Every 20th query has no candidates and every 9th no recorded answer; both are rejected.

    Returns:
        The folder of the lists, and the file of the answers.
    """
    rows, lines = [], []
    for number in range(queries):
        ids = [f"d{number}-{rank}" for rank in range(0 if number % _EMPTY_INTERVAL == 3 else _CANDIDATES)]
        rows.append(PreRankedList(query_id=f"q{number}", text=f"query {number}", picked=_picked(ids)))
        if ids and number % _UNRECORDED_INTERVAL:
            answer = " > ".join(f"[{place}]" for place in range(len(ids), 0, -1))
            lines.append(json.dumps({"query_id": f"q{number}", "documents": ids, "answer": answer}))
    Folder(folder / "lists").write_rows("part-0.parquet", rows)
    recorded = folder / "recorded.jsonl"
    recorded.write_text("\n".join(lines))
    return Folder(folder / "lists"), recorded


def _picked(ids: list[str]) -> list[PreRankedCandidate]:
    candidates = [
        Candidate(doc_id=doc_id, title="", text=f"text of {doc_id} " * 40, rank=rank, score=1 / rank, retriever="bm25")
        for rank, doc_id in enumerate(ids, 1)
    ]
    return [PreRankedCandidate(candidate=row, pre_rank=row.rank, of_head=True) for row in candidates]
