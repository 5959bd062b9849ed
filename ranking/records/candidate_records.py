"""Records for candidate lists of queries: as retrieved, and as selected by the pre-ranker for the teacher."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.records.collection_records import SplitName
from ranking.records.record import Record

FUSED = "fused"
"""Name of the first stage that fuses the rankings of several retrievers."""


class Candidate(Record):
    """A document on a query's candidate list.

    Attributes:
        rank: Rank on the list. 1 is best.
        score: Fused score. Higher is better.
        retriever: Names of the retrievers that returned the document, joined with "+" ("bm25+dense").
        duplicates: Ids of other documents of the list with the same text.
    """

    doc_id: str
    title: str
    text: str
    rank: int
    score: float
    retriever: str
    duplicates: list[str] = []


class CandidateList(Record):
    """A query and its candidates, best first: a row of candidates/."""

    query_id: str
    text: str
    candidates: list[Candidate]


class NamedList(Record):
    """The candidate list of one first stage, best first."""

    name: str
    candidates: list[Candidate]


class QueryCandidates(Record):
    """A test query and the candidate list of every first stage: a row of test/candidates/."""

    query_id: str
    text: str
    lists: list[NamedList]

    def of(self, name: str) -> list[Candidate]:
        """Return the candidates of the first stage with this name.

        Raises:
            StopIteration: No first stage has this name.
        """
        return next(stage.candidates for stage in self.lists if stage.name == name)

    def fused(self) -> CandidateList:
        """Return the candidate list of the fused first stage."""
        return CandidateList(query_id=self.query_id, text=self.text, candidates=self.of(FUSED))

    def union(self, names: Sequence[str]) -> list[Candidate]:
        """Return the candidates of several first stages, each document once."""
        return list({candidate.doc_id: candidate for name in names for candidate in self.of(name)}.values())


class IncompleteList(Record):
    """What the list of a search engine lacks for one query: a row of incomplete/ in a folder of candidates.

    Attributes:
        retriever: Name of the engine's list.
        doc_ids: Documents that the engine returned without a text and that the collection does not have.
        refusal: Why the engine refused the query; None if it answered.
    """

    query_id: str
    retriever: str
    doc_ids: list[str]
    refusal: str | None = None


class PassageSpan(Record):
    """Place of a passage in the text of its document: character offsets, without the title."""

    start: int
    end: int


class PreRankedCandidate(Record):
    """A candidate that the pre-ranker selected for the teacher.

    Attributes:
        candidate: The candidate. With passages, its text is the best passage of the document.
        pre_rank: Rank by the pre-ranker, 1 is best.
        of_head: True if the candidate is from the head of the pre-ranker's order, False if it is from the tail.
        passage: Place of the passage in the document. None without passages.
    """

    candidate: Candidate
    pre_rank: int
    of_head: bool
    passage: PassageSpan | None = None


class PreRankedList(Record):
    """A query and the candidates that the teacher labels.

    Attributes:
        query_id: Id of the query.
        split: Origin of the query.
        text: Text of the query.
        picked: Selected candidates, in the pre-ranker's order.
    """

    query_id: str
    split: SplitName = "log"
    text: str
    picked: list[PreRankedCandidate]

    def as_tuples(self) -> list[tuple[Candidate, int, bool]]:
        """Return the selected candidates as (candidate, pre_rank, of_head) tuples, for `ranking.labels.targets`."""
        return [(picked.candidate, picked.pre_rank, picked.of_head) for picked in self.picked]

    @property
    def passages(self) -> dict[str, PassageSpan | None]:
        """Place of each candidate's passage, {document id: place}. None without passages."""
        return {picked.candidate.doc_id: picked.passage for picked in self.picked}
