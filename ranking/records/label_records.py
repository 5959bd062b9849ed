"""Label records: candidate lists ranked by the teacher, with its answer, their provenance and cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ranking.records.candidate_records import PassageSpan
from ranking.records.record import Record

Tier = Literal["listed", "hard_negative", "easy_negative", "unseen"]
ParseStatus = Literal["ok", "truncated", "empty", "duplicates", "out_of_range", "thinking", "prose", "refused"]


class LabelledCandidate(Record):
    """A candidate as the teacher saw and judged it.

    Attributes:
        pre_rank: Rank given by the pre-ranker. 1 is best.
        prompt_position: Position in the prompt. 1 is first; 0 for an unseen document.
        tier: `listed`: the teacher ranked the document. `hard_negative`, `easy_negative`: the teacher omitted it; easy
            negatives are from the tail of the pre-ranker's order. `unseen`: the teacher was not shown the document. It
            is not a negative, and losses over targets exclude it from all pairs.
        position: Rank in the teacher's order. 1 is best; None if the teacher omitted the document or did not see it.
        target: Training target, on the scale named by Provenance.targets. Higher is better; 0 for an unseen document.
        duplicates: Ids of other documents of the list with the same text. Judgements of those documents also count for
            this one.
        passage: Place of `text` in the document if documents are split into passages: the teacher saw and judged this
            passage. None without passages.
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
    passage: PassageSpan | None = None


class Answer(Record):
    """The teacher's answer and its parse status.

    Attributes:
        raw: The answer's text; one line per answer if several prompt orders were merged. None for teachers that only
            score.
        parse_status: Status of the answer; the most severe one if several were merged.
        duplicates: Number of repeated document identifiers, summed over merged answers.
        out_of_range: Number of identifiers that refer to no document in the prompt, summed over merged answers.
        missing: Number of documents that the merged order omits. With a sliding window: number of documents that no
            window's answer lists.
        finish_reason: Why generation ended, as reported by the engine.
        orders: Number of merged answers, one per prompt order.
        attempts: Number of prompts sent.
        document_tokens: Token limit to which each document was truncated in the prompt.
        comparisons: Pairwise and setwise teachers: number of prompts, each of which asks for the best of its documents.
        unusable: Number of these prompts without a usable answer.
        first_chosen: Number of these prompts whose answer is the first document. Its share shows position bias.
        inconsistent: Number of pairs whose answer depends on the order of the two documents.
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
    comparisons: int = 0
    unusable: int = 0
    first_chosen: int = 0
    inconsistent: int = 0


class Provenance(Record):
    """The origin of a label.

    Attributes:
        targets: Scale of the targets. "scores": differences between targets are meaningful. "tiers": only the order of
            targets is meaningful. "grades": targets are relevance grades; above 0 is relevant.
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
    """Number of prompt tokens that a model read, and of completion tokens that it generated."""

    prompt: int = 0
    completion: int = 0


class Usage(Record):
    """Cost of an answer or of rationales: tokens and seconds of the model."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


class Label(Record):
    """One query's candidate list, ranked by the teacher: a row of labels/.

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
