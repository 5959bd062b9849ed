"""The records that pass between stages, one class per kind of row."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Tier = Literal["listed", "hard_negative", "easy_negative", "unseen"]
ParseStatus = Literal["ok", "truncated", "empty", "duplicates", "out_of_range", "thinking", "prose", "refused"]
RationaleStatus = Literal[
    "ok", "empty", "truncated", "refused", "too_long", "copied", "contradicts", "unmatched", "failed"
]


class Record(BaseModel):
    """A row that crosses a boundary; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Document(Record):
    """A passage of the collection. title may be empty; text is what is ranked."""

    doc_id: str
    title: str = ""
    text: str

    @property
    def content(self) -> str:
        """Title and text as every retriever, teacher and student reads them."""
        return content(self.title, self.text)


class Query(Record):
    """A query of the log or of a test split. frequency: how often the log holds it, 1 or more."""

    query_id: str
    text: str
    frequency: int = 1


class SelectedQuery(Query):
    """A long-tail query: a row of queries/. frequency: with that of its duplicates forms.

    duplicates: other forms of it in the log, the most frequent first. terms: its length in terms. length, complexity,
    rarity: the parts of its score, 0 to 1; score: their weighted mean.
    """

    duplicates: list[str]
    terms: int
    length: float
    complexity: float
    rarity: float
    score: float


class Candidate(Record):
    """A document on a query's candidate list. rank: 1 is best. score: the fused score, higher is better.

    retriever: names of the retrievers that found it, joined with "+" ("bm25+dense"). duplicates: other documents
    of the list with the same text.
    """

    doc_id: str
    title: str
    text: str
    rank: int
    score: float
    retriever: str
    duplicates: list[str] = []


class LabelledCandidate(Record):
    """A candidate as the teacher saw and judged it.

    pre_rank: rank given by the pre-ranker, 1 is best. prompt_position: place in the prompt, 1 is first; 0 for an unseen document.
    tier: `unseen` for a document that the teacher was never shown: no negative, and in no pair of a loss over targets.
    position: place in the teacher's order, 1 is best; None when the teacher left the document out or never saw it.
    target: what a student learns, higher is better, on the scale that Provenance.targets names; 0 for an unseen document.
    duplicates: other documents of the list with the same text, which stand for this one where they are judged.
    """

    doc_id: str
    title: str
    text: str
    pre_rank: int
    prompt_position: int
    tier: Tier
    position: int | None
    target: float
    rationale: str | None = None
    duplicates: list[str] = []


class Answer(Record):
    """The teacher's answer and what is the matter with it; raw is None for teachers that only score.

    Where several prompt orders were merged, raw holds a line for each, parse_status the gravest, and the counts
    their sums; missing is what the merged order leaves out, with a sliding window what no window's answer lists.
    orders: merged answers. attempts: prompts asked.
    document_tokens: to which each document was cut in the prompt.
    """

    raw: str | None = None
    parse_status: ParseStatus = "ok"
    duplicates: int = 0
    out_of_range: int = 0
    missing: int = 0
    finish_reason: str | None = None
    orders: int = 1
    attempts: int = 1
    document_tokens: int | None = None


class Provenance(Record):
    """Where a label comes from.

    targets: "scores" (differences have a size), "tiers" (only the order counts) or "grades" (above 0: relevant).
    """

    teacher: str
    revision: str | None = None
    prompt: str | None = None
    fingerprint: str
    engine: str
    sampling: str | None = None
    seed: int | None = None
    targets: Literal["scores", "tiers", "grades"]


class TokenCounts(Record):
    """Tokens that a model read and wrote."""

    prompt: int = 0
    completion: int = 0


class Usage(Record):
    """What the answer cost: tokens and seconds of the teacher."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Label(Record):
    """One query's list, ranked by the teacher: a row of labels/.

    confidence: share of the pairs that the merged answers decide alike, 0 to 1; None where one was asked.
    """

    query_id: str
    query: str
    candidates: list[LabelledCandidate] = Field(min_length=1)
    answer: Answer
    confidence: float | None = None
    provenance: Provenance
    usage: Usage


class Rationale(Record):
    """Why a candidate is relevant to a query, or why not. Only a text whose status is ok is learned from.

    relevant: what the writer was told. text: as it came; with the status failed, what the engine said.
    """

    doc_id: str
    relevant: bool
    status: RationaleStatus
    text: str


class RationaleList(Record):
    """The rationales of one query's list: a row of rationales/. writer: a model, or `extractive`. prompt: hash of its words."""

    query_id: str
    rationales: list[Rationale]
    writer: str
    prompt: str | None = None
    usage: Usage


class Rejection(Record):
    """A query that a stage could not carry on with: a row of rejected/. Nothing is dropped silently.

    raw: what the reason is about: the teacher's answer; of a query that was not selected its text.
    """

    query_id: str
    stage: str
    reason: str
    attempts: int = 1
    raw: str | None = None


def content(title: str, text: str) -> str:
    """Join a title and a text the one way that the whole pipeline reads them."""
    return f"{title}\n{text}" if title else text


def misfit(error: ValidationError) -> str:
    """Say in words what keeps a row from being a record."""
    first = error.errors()[0]
    return f"not of this version ({'.'.join(map(str, first['loc']))}: {first['msg'].lower()})"
