"""The pre-ranker on a worker: a sentence encoder orders the candidates, its head and tail go to the teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from actors.encoder import SentenceEncoder, Vectors, VectorTable
from actors.retrievers import vectors_folder
from actors.rows import CandidateList, PickedCandidate, PickedList, records, table_of
from ranking.labelling.targets import head_and_tail
from ranking.records import Candidate, content
from ranking.settings import PreRankerSettings
from ranking.storage import Folder


class PreRanker:
    """Orders candidates by the cosine of query and document vector.

    Documents that the index has vectors of, by the same model, are not encoded again; others are encoded
    once and remembered.
    """

    def __init__(self, index: Folder, settings: PreRankerSettings) -> None:
        self.settings = settings
        self.encoder = SentenceEncoder(settings.model)
        self.table = VectorTable(vectors_folder(index, settings.model), "doc_id")
        self.encoded: dict[str, Vectors] = {}

    def scores(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """Score candidates for a query, in the order given; cosines from -1 to 1."""
        new = [c for c in candidates if c.doc_id not in self.table and c.doc_id not in self.encoded]
        vectors = self.encoder.encode([query, *(content(c.title, c.text) for c in new)])
        self.encoded.update({c.doc_id: vector for c, vector in zip(new, vectors[1:], strict=True)})
        held = [self.table[c.doc_id] if c.doc_id in self.table else self.encoded[c.doc_id] for c in candidates]
        scores: list[float] = (np.stack(held) @ vectors[0]).tolist() if held else []
        return scores

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Ray Data actor: candidate lists to what the teacher is shown of them."""
        picked = []
        for row in records(batch, CandidateList):
            scores = self.scores(row.text, row.candidates)
            order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
            ends = head_and_tail([row.candidates[i] for i in order], self.settings.top, self.settings.bottom)
            kept = [PickedCandidate(candidate=c, pre_rank=rank, of_head=of_head) for c, rank, of_head in ends]
            picked.append(PickedList(query_id=row.query_id, text=row.text, picked=kept))
        return table_of(picked, PickedList)
