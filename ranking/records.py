"""Records that pass between stages, one class per kind of row."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Tier = Literal["listed", "hard_negative", "easy_negative", "unseen"]
ParseStatus = Literal["ok", "truncated", "empty", "duplicates", "out_of_range", "thinking", "prose", "refused"]
RationaleStatus = Literal[
    "ok", "empty", "truncated", "refused", "too_long", "copied", "contradicts", "unmatched", "failed"
]


class Record(BaseModel):
    """Base class of all rows that pass between stages. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Document(Record):
    """A passage of the collection.

    Attributes:
        title: May be empty.
        text: The text to rank.
    """

    doc_id: str
    title: str = ""
    text: str

    @property
    def content(self) -> str:
        """Title and text as every retriever, teacher and student reads them."""
        return content(self.title, self.text)


class Query(Record):
    """A query of the log or of a test split.

    Attributes:
        frequency: Number of occurrences in the log, 1 or more.
    """

    query_id: str
    text: str
    frequency: int = 1


class SelectedQuery(Query):
    """A selected long-tail query: a row of queries/.

    Attributes:
        frequency: Number of occurrences in the log, duplicates included.
        duplicates: Near-duplicate forms of the query in the log, most frequent first.
        terms: Length in terms.
        length: Length component of the score, 0 to 1.
        complexity: Complexity component of the score, 0 to 1.
        rarity: Rarity component of the score, 0 to 1.
        score: Weighted mean of the three components.
    """

    duplicates: list[str]
    terms: int
    length: float
    complexity: float
    rarity: float
    score: float


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


class LabelledCandidate(Record):
    """A candidate as the teacher saw and judged it.

    Attributes:
        pre_rank: Rank given by the pre-ranker. 1 is best.
        prompt_position: Position in the prompt. 1 is first; 0 for an unseen document.
        tier: `unseen` marks a document that the teacher was not shown. It is not a negative and is in no pair of a loss
            over targets.
        position: Rank in the teacher's order. 1 is best; None if the teacher omitted the document or did not see it.
        target: Training target, on the scale named by Provenance.targets. Higher is better; 0 for an unseen document.
        duplicates: Ids of other documents of the list with the same text. Judgements of these count for this document.
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
    """The teacher's answer and its parse status.

    Attributes:
        raw: The answer's text; one line per answer if several prompt orders were merged. None for teachers that only
            score.
        parse_status: Status of the answer; the most severe one if several were merged.
        duplicates: Repeated document identifiers, summed over merged answers.
        out_of_range: Identifiers of no document in the prompt, summed over merged answers.
        missing: Documents that the merged order omits. With a sliding window: documents that no window's answer lists.
        finish_reason: The engine's reason for the end of generation.
        orders: Number of merged answers, one per prompt order.
        attempts: Number of prompts sent.
        document_tokens: Token limit to which each document was truncated in the prompt.
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
    """The origin of a label.

    Attributes:
        targets: Scale of the targets. "scores": differences are meaningful. "tiers": only the order is. "grades":
            relevance grades, above 0 is relevant.
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
    """Numbers of prompt and completion tokens of a model."""

    prompt: int = 0
    completion: int = 0


class Usage(Record):
    """Cost of an answer: tokens and seconds of the teacher."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Label(Record):
    """One query's list, ranked by the teacher: a row of labels/.

    Attributes:
        confidence: Share of document pairs on which the merged answers agree, 0 to 1. None if the teacher was asked
            with only one prompt order.
    """

    query_id: str
    query: str
    candidates: list[LabelledCandidate] = Field(min_length=1)
    answer: Answer
    confidence: float | None = None
    provenance: Provenance
    usage: Usage


class Rationale(Record):
    """An explanation why a candidate is or is not relevant to a query. Students learn only from status `ok`.

    Attributes:
        relevant: The label that the writer was given.
        text: The writer's unmodified output. With status `failed`, the engine's error.
    """

    doc_id: str
    relevant: bool
    status: RationaleStatus
    text: str


class RationaleList(Record):
    """The rationales of one query's list: a row of rationales/.

    Attributes:
        writer: Name of a model, or `extractive`.
        prompt: Hash of the prompt's text.
    """

    query_id: str
    rationales: list[Rationale]
    writer: str
    prompt: str | None = None
    usage: Usage


class Rejection(Record):
    """A query that a stage could not process: a row of rejected/. No query is dropped silently.

    Attributes:
        raw: The text that the reason refers to: the teacher's answer, or the text of a query that was not selected.
    """

    query_id: str
    stage: str
    reason: str
    attempts: int = 1
    raw: str | None = None


def content(title: str, text: str) -> str:
    """Join title and text. The whole pipeline uses this format."""
    return f"{title}\n{text}" if title else text


def misfit(error: ValidationError) -> str:
    """Describe in one line why a row does not validate as a record."""
    first = error.errors()[0]
    return f"written by another version ({'.'.join(map(str, first['loc']))}: {first['msg'].lower()})"
