"""The pre-ranker on a worker: a sentence encoder orders the candidates, its head and tail go to the teacher."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from actors.rows import CandidateList, PickedCandidate, PickedList, records, table_of
from actors.vectors import TextVectors
from ranking.labelling.targets import head_and_tail
from ranking.records import Candidate, content
from ranking.settings import PreRankerSettings
from ranking.storage import Folder


class PreRanker:
    """Orders candidates by the cosine of query and document vector. memory: folder of the vectors there are."""

    def __init__(self, memory: Folder, settings: PreRankerSettings) -> None:
        self.settings = settings
        self.vectors = TextVectors(memory, settings.model)

    def scores(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """Score candidates for a query, in the order given; cosines from -1 to 1."""
        vectors = self.vectors.of([query, *(content(c.title, c.text) for c in candidates)])
        scores: list[float] = (vectors[1:] @ vectors[0]).tolist()
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
