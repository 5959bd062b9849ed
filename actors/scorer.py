"""The student scorer on a worker: Ray Data batches of lists in, scores and timings out."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pyarrow as pa
import torch

from actors.rows import CandidateList, records
from ranking.records import content
from ranking.registry import check_whole
from ranking.storage import Folder
from students.scoring import Scorer


def load_scorer(model: Folder, checksum: str | None = None) -> Scorer:
    """Load a saved student from storage. checksum: of a version of the registry, which is checked; None for other folders.

    Raises InputError where a file is not the one that was promoted.
    """
    with tempfile.TemporaryDirectory() as local:
        place = Path(local) / "model"
        model.copy_to(Folder(place))
        if checksum is not None:
            check_whole(Folder(place), checksum)
        return Scorer(place)


class ListScorer:
    """Ray Data actor: candidate lists to {query_id, doc_ids, scores, seconds}, one row a query."""

    def __init__(self, model: Folder) -> None:
        torch.set_num_threads(1)
        self.scorer = load_scorer(model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = []
        for row in records(batch, CandidateList):
            began = time.monotonic()
            scores = self.scorer.score([(row.text, content(c.title, c.text)) for c in row.candidates])
            rows.append(
                {
                    "query_id": row.query_id,
                    "doc_ids": [c.doc_id for c in row.candidates],
                    "scores": scores,
                    "seconds": time.monotonic() - began,
                }
            )
        return pa.Table.from_pylist(rows)
