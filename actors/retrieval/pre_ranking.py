"""What a teacher is shown of a candidate list: the pre-ranker's head and tail, or all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from actors.data.rows import CandidateList, PreRankedCandidate, PreRankedList, QueryCandidates, records, table_of
from actors.retrieval.embeddings import TextVectors
from ranking.labels.targets import head_and_tail
from ranking.records import Candidate, content
from ranking.selection.validation_split import is_validation
from ranking.settings import PreRankerSettings
from ranking.storage.folder import Folder


class PreRanker:
    """A sentence encoder that orders candidates by the cosine of query and document vector.

    memory: folder of the stored vectors. validation: fraction and seed that choose the validation queries, whose whole lists are shown.
    """

    def __init__(self, memory: Folder, settings: PreRankerSettings, validation: tuple[float, int] = (0.0, 0)) -> None:
        self.settings = settings
        self.validation = validation
        self.vectors = TextVectors(memory, settings.model)

    def scores(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """Score candidates for a query, in the order given; cosines from -1 to 1."""
        if not candidates:
            return []
        vectors = self.vectors.of([query, *(content(c.title, c.text) for c in candidates)])
        scores: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return scores

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Ray Data actor: candidate lists to the head and tail of the pre-ranker's order."""
        picked = []
        for row in records(batch, CandidateList):
            scores = self.scores(row.text, row.candidates)
            order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
            top = len(order) if is_validation(row.query_id, *self.validation) else self.settings.top
            ends = head_and_tail([row.candidates[i] for i in order], top, self.settings.bottom)
            kept = [PreRankedCandidate(candidate=c, pre_rank=rank, of_head=of_head) for c, rank, of_head in ends]
            picked.append(PreRankedList(query_id=row.query_id, text=row.text, picked=kept))
        return table_of(picked, PreRankedList)


def all_candidates(batch: pa.Table) -> pa.Table:
    """Candidate lists as they are, where there is no pre-ranker."""
    return table_of(
        [_whole(row.query_id, row.text, row.candidates) for row in records(batch, CandidateList)], PreRankedList
    )


def all_of_test(batch: pa.Table, first_stages: Sequence[str]) -> pa.Table:
    """Each test query with every candidate of the lists that are re-ranked, so that each pair is scored once."""
    lists = [_whole(row.query_id, row.text, row.union(first_stages)) for row in records(batch, QueryCandidates)]
    return table_of([row.model_copy(update={"split": "test"}) for row in lists], PreRankedList)


def _whole(query_id: str, text: str, candidates: Sequence[Candidate]) -> PreRankedList:
    picked = [
        PreRankedCandidate(candidate=candidate, pre_rank=rank, of_head=True)
        for rank, candidate in enumerate(candidates, 1)
    ]
    return PreRankedList(query_id=query_id, text=text, picked=picked)
