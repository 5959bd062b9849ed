"""Select the candidates that the teacher labels: head and tail of the pre-ranker's order, or the whole list."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from actors.data.rows import records, table_of
from actors.retrieval.best_passages import PassageEncoder, with_passage
from actors.retrieval.embeddings import TextVectors
from ranking.labels.targets import head_and_tail
from ranking.passage_settings import PassageSettings
from ranking.records import Candidate, CandidateList, PreRankedCandidate, PreRankedList, QueryCandidates, content
from ranking.selection.validation_split import is_validation
from ranking.settings import PreRankerSettings
from ranking.storage.folder import Folder


class PreRanker:
    """Ray Data actor that orders candidates by the cosine similarity of query and document.

    With passages, the similarity of a document is that of its best passage, which replaces the text of the candidate.

    Args:
        cache: Folder of the embedding cache.
        settings: Model, and how many candidates to select from the head (best) and the tail (worst) of the order.
        validation: Fraction and seed that determine the validation queries. All candidates of these are selected.
        passages: Size and number of the passages. None scores whole documents.
    """

    def __init__(
        self,
        cache: Folder,
        settings: PreRankerSettings,
        validation: tuple[float, int] = (0.0, 0),
        passages: PassageSettings | None = None,
    ) -> None:
        self.settings = settings
        self.validation = validation
        self.vectors = TextVectors(cache, settings.model, settings.revision)
        self.passages = PassageEncoder(self.vectors, passages) if passages is not None else None

    def scores(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """Return the cosine similarity of the query and each candidate, from -1 to 1, in candidate order."""
        if self.passages is not None:
            return [best.score for best in self.passages.best(query, candidates)]
        if not candidates:
            return []
        vectors = self.vectors.of([query, *(content(c.title, c.text) for c in candidates)])
        scores: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return scores

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Map `CandidateList` rows to `PreRankedList` rows with the head and tail of the pre-ranker's order."""
        lists = []
        for row in records(batch, CandidateList):
            best = None if self.passages is None else self.passages.best(row.text, row.candidates)
            scores = self.scores(row.text, row.candidates) if best is None else [passage.score for passage in best]
            order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
            top = len(order) if is_validation(row.query_id, *self.validation) else self.settings.top
            ends = head_and_tail([row.candidates[i] for i in order], top, self.settings.bottom)
            picked = [PreRankedCandidate(candidate=c, pre_rank=rank, of_head=of_head) for c, rank, of_head in ends]
            if best is not None:  # `pre_rank` is a position in `order`
                picked = [with_passage(one, best[order[one.pre_rank - 1]]) for one in picked]
            lists.append(PreRankedList(query_id=row.query_id, text=row.text, picked=picked))
        return table_of(lists, PreRankedList)


def all_candidates(batch: pa.Table) -> pa.Table:
    """Map `CandidateList` rows to `PreRankedList` rows with all candidates, for runs without a pre-ranker."""
    return table_of(
        [_whole(row.query_id, row.text, row.candidates) for row in records(batch, CandidateList)], PreRankedList
    )


def all_test_candidates(batch: pa.Table, first_stages: Sequence[str]) -> pa.Table:
    """Map `QueryCandidates` rows to `PreRankedList` rows with all candidates of the lists to re-rank.

    The lists are merged, so the teacher scores each query-document pair once.

    Args:
        batch: Test queries.
        first_stages: Names of the lists to re-rank.
    """
    lists = [_whole(row.query_id, row.text, row.union(first_stages)) for row in records(batch, QueryCandidates)]
    return table_of([row.model_copy(update={"split": "test"}) for row in lists], PreRankedList)


def _whole(query_id: str, text: str, candidates: Sequence[Candidate]) -> PreRankedList:
    """Make a `PreRankedList` of all candidates in their order."""
    picked = [
        PreRankedCandidate(candidate=candidate, pre_rank=rank, of_head=True)
        for rank, candidate in enumerate(candidates, 1)
    ]
    return PreRankedList(query_id=query_id, text=text, picked=picked)
