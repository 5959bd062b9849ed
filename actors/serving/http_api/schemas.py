"""Requests in the formats of Cohere and Jina, and users' feedback.

An optional field that is null is not set. Fields without a declaration are in `ignored_fields`.

A student may have a blend: weights that combine its scores with those of the first stage. A request can then pass the
first-stage ranking of its documents, as `first_stage: order` (request order) or `scores` (a `score` in every document),
and its raw scores are the blended ones.

If the student is calibrated, the sigmoid of its raw score is a probability of relevance, and a request can leave out
documents with a lower probability than `min_score`. A blended score is not a probability; `min_score` applies to the
student's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from actors.serving.http_api.request_documents import (
    Documents,
    TextDocument,
    heading_lengths,
    ids_of,
    read_texts,
    score_of,
)


def _not_empty(text: str) -> str:
    """Reject empty text. Pydantic's `min_length` would also reject lone surrogates, which are allowed."""
    if not text:
        raise PydanticCustomError("empty", "Input should have at least 1 character")
    return text


MAX_RANK_FIELDS = 20

Count = Annotated[int, Field(ge=1, le=2**31)]
QueryText = Annotated[str, AfterValidator(_not_empty), Field(json_schema_extra={"minLength": 1})]
RankFields = Annotated[list[str], Field(min_length=1, max_length=MAX_RANK_FIELDS)]


FirstStageField = Annotated[
    Literal["order", "scores", "none"] | None,
    Field(
        description="First-stage ranking to blend with, if the student has a blend. `order`: the order of the "
        "documents in the request. `scores`: the `score` of each document. `none`: no blending. Default: `scores` if "
        "every document has a finite score, else `none`."
    ),
]

MinScore = Annotated[
    Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None,
    Field(
        description="Leave out documents whose probability of relevance is below this. Needs a student with calibrated "
        "scores. Applied before `top_n`, and to the student's own score if scores are blended."
    ),
]


@dataclass(frozen=True)
class FirstStage:
    """The first-stage ranking of a request's documents.

    Attributes:
        scores: One first-stage score per document. None if the documents are in first-stage order without scores.
    """

    scores: list[float] | None = None


class RankingOptions(BaseModel):
    """The fields that all requests for a ranking have, whatever they call their documents."""

    model_config = ConfigDict(extra="allow")

    query: QueryText
    top_n: Annotated[Count | None, Field(description="Number of results. Default: all.")] = None
    top_k: Annotated[Count | None, Field(description="Another name of `top_n`.")] = None
    return_documents: Annotated[bool | None, Field(description="Return the texts that the model has read.")] = None
    rank_fields: Annotated[
        RankFields | None,
        Field(
            description="Fields of the documents that the model reads, joined by line breaks in this order. "
            "Default: `title`, if a document has one, and `text`."
        ),
    ] = None
    max_tokens_per_doc: Annotated[Count | None, Field(description="Truncate documents to this many tokens.")] = None
    raw_scores: Annotated[bool | None, Field(description="Return raw scores instead of their sigmoid.")] = None
    truncate: Annotated[
        bool | None, Field(description="False: refuse documents that exceed the model's maximum length.")
    ] = None
    max_chunks_per_doc: Annotated[
        Count | None,
        Field(
            description="Maximum number of passages per document, if the student reads passages. It can only lower the "
            "student's own limit."
        ),
    ] = None
    first_stage: FirstStageField = None
    min_score: MinScore = None

    @model_validator(mode="after")
    def _one_number_of_results(self) -> RankingOptions:
        if self.top_n is not None and self.top_k is not None and self.top_n != self.top_k:
            raise PydanticCustomError("top_n_and_top_k", "top_n and top_k differ; send one of them")
        return self

    @property
    def candidates(self) -> Sequence[str | TextDocument]:
        """The documents to rank."""
        raise NotImplementedError

    @property
    def field(self) -> str:
        """Name of the field that contains the documents."""
        return "documents"

    @property
    def limit(self) -> int | None:
        """Number of results. None for all."""
        return self.top_n or self.top_k

    @property
    def with_texts(self) -> bool:
        """Whether results contain the texts of their documents."""
        return bool(self.return_documents)

    @property
    def ids(self) -> list[str]:
        """The `id` of each document, truncated to 200 characters. A document without one gets its index."""
        return ids_of(self.candidates)

    @property
    def undeclared(self) -> dict[str, Any]:
        """The fields without a declaration that are not null."""
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}

    def texts_to_score(self) -> list[str]:
        """Return the text of each document, as the model reads it.

        Raises:
            ValueError: A document has no text.
        """
        return read_texts(self.candidates, self.rank_fields)

    def title_lengths(self) -> list[int]:
        """Return how many characters at the start of each text to score are the title with its line break."""
        return heading_lengths(self.candidates, self.rank_fields)

    def first_stage_ranking(self) -> FirstStage | None:
        """Return the first-stage ranking, or None if the request has none.

        Raises:
            ValueError: `first_stage` is "scores" and a document has no finite score.
        """
        if self.first_stage == "none" or not self.candidates:
            return None
        if self.first_stage == "order":
            return FirstStage()
        scores = [score_of(document) for document in self.candidates]
        if self.first_stage == "scores" and None in scores:
            raise ValueError(
                f"{self.field}[{scores.index(None)}].score: first_stage 'scores' needs a finite number in every "
                "document"
            )
        return None if None in scores else FirstStage([score for score in scores if score is not None])


class RerankRequest(RankingOptions):
    """A request to /v1/rerank or /v2/rerank."""

    documents: Documents

    @property
    def candidates(self) -> Sequence[str | TextDocument]:
        """The documents to rank."""
        return self.documents


class Feedback(BaseModel):
    """A user's reaction to a ranking.

    `position` counts from 1 in the displayed order, `seconds` is the dwell time. Events with the same `event_id` count
    once.
    """

    model_config = ConfigDict(extra="forbid")

    exposure_id: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Annotated[str, Field(pattern="^(click|dwell)$")]
    position: Annotated[int, Field(ge=1, le=100_000)]
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    event_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
