"""Requests and responses in the formats of Cohere, Jina and Text Embeddings Inference (TEI).

All formats return the same order: by raw score, ties in request order. `relevance_score` and `score` are the sigmoid of
the raw score; `raw_scores: true` returns the raw score itself.

A student may have a blend: weights that combine its scores with those of the first stage. A request can then pass the
first-stage ranking of its documents, as `first_stage: order` (request order) or `scores` (a `score` in every document),
and its raw scores are the blended ones.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field
from pydantic_core import PydanticCustomError


def _not_empty(text: str) -> str:
    """Reject empty text. Pydantic's `min_length` would also reject lone surrogates, which are allowed."""
    if not text:
        raise PydanticCustomError("empty", "Input should have at least 1 character")
    return text


MAX_ID_CHARACTERS = 200
MAX_DOCUMENTS = 10_000
"""Upper bound of the setting `serving.limits.max_documents`."""

Count = Annotated[int, Field(ge=1, le=2**31)]
QueryText = Annotated[str, AfterValidator(_not_empty), Field(json_schema_extra={"minLength": 1})]


FirstStageField = Annotated[
    Literal["order", "scores", "none"] | None,
    Field(
        description="First-stage ranking to blend with, if the student has a blend. `order`: the order of the "
        "documents in the request. `scores`: the `score` of each document. `none`: no blending. Default: `scores` if "
        "every document has a finite score, else `none`."
    ),
]


class TextDocument(BaseModel):
    """A document as an object. The model reads the title before the text. Other fields are ignored.

    `score` is the first-stage score, used for blending if it is a finite number.
    """

    text: str
    title: str | None = None
    id: str | int | None = None
    score: bool | int | float | str | None = None


@dataclass(frozen=True)
class FirstStage:
    """The first-stage ranking of a request's documents.

    Attributes:
        scores: One first-stage score per document. None if the documents are in first-stage order without scores.
    """

    scores: list[float] | None = None


class RerankRequest(BaseModel):
    """A request to /v1/rerank or /v2/rerank. Other fields of Cohere's and Jina's APIs, such as `model`, are ignored."""

    query: QueryText
    documents: Annotated[list[str | TextDocument], Field(max_length=MAX_DOCUMENTS), FailFast()]
    top_n: Count | None = None
    return_documents: bool = False
    max_tokens_per_doc: Count | None = None
    max_chunks_per_doc: Annotated[
        Count | None,
        Field(
            description="Maximum number of passages per document, if the student reads passages. It can only lower the "
            "student's own limit."
        ),
    ] = None
    first_stage: FirstStageField = None

    def first_stage_ranking(self) -> FirstStage | None:
        """Return the first-stage ranking, or None if the request has none.

        Raises:
            ValueError: `first_stage` is "scores" and a document has no finite score.
        """
        if self.first_stage == "none" or not self.documents:
            return None
        if self.first_stage == "order":
            return FirstStage()
        scores = [_score_of(document) for document in self.documents]
        if self.first_stage == "scores" and None in scores:
            raise ValueError(
                f"documents[{scores.index(None)}].score: first_stage 'scores' needs a finite number in every document"
            )
        return None if None in scores else FirstStage([score for score in scores if score is not None])

    @property
    def texts(self) -> list[str]:
        """The text of each document, as the model reads it."""
        return [document_text(document) for document in self.documents]

    @property
    def heading_lengths(self) -> list[int]:
        """Number of characters of each text of `texts` that are the title and its line break; 0 without a title."""
        titles = [None if isinstance(document, str) else document.title for document in self.documents]
        return [len(readable(title)) + 1 if title else 0 for title in titles]

    @property
    def ids(self) -> list[str]:
        """The `id` of each document, truncated to 200 characters. A document without one gets its index."""
        ids = [None if isinstance(document, str) else document.id for document in self.documents]
        return [readable(str(i if doc_id is None else doc_id))[:MAX_ID_CHARACTERS] for i, doc_id in enumerate(ids)]


class TextsRequest(BaseModel):
    """A request to /rerank, in the format of Text Embeddings Inference (TEI)."""

    query: QueryText
    texts: Annotated[list[str], Field(max_length=MAX_DOCUMENTS), FailFast()]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = True
    first_stage: Annotated[
        Literal["order", "none"] | None, Field(description="As in /v1/rerank, except that texts have no scores.")
    ] = None


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


def _score_of(document: str | TextDocument) -> float | None:
    """Return the first-stage score of a document, or None if it has no finite score."""
    score = None if isinstance(document, str) else document.score
    if isinstance(score, bool) or not isinstance(score, int | float):
        return None
    try:
        value = float(score)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def document_text(document: str | TextDocument) -> str:
    """Return the text of a document, preceded by its title if it has one."""
    if isinstance(document, str):
        return readable(document)
    return readable(f"{document.title}\n{document.text}" if document.title else document.text)


def readable(text: str) -> str:
    """Replace lone surrogates, which JSON strings may contain but UTF-8 cannot encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def sigmoid(score: float) -> float:
    """Map a raw score to [0, 1]."""
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))


def order_of(scores: Sequence[float], top_n: int | None = None) -> list[int]:
    """Return the indices of the `top_n` best scores (all if None), best first. Ties keep their order."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:top_n]


def ranking(
    request: RerankRequest,
    order: Sequence[int],
    scores: Sequence[float],
    version: str,
    tokens: int,
    api: str,
    blend: str | None = None,
) -> dict[str, Any]:
    """Build the response of /v1/rerank and /v2/rerank, which both Cohere's and Jina's clients can read.

    Args:
        request: The request.
        order: Indices of the documents, best first.
        scores: Raw score of each document.
        version: Version of the model.
        tokens: Tokens that the model read.
        api: Version of the API, "1" or "2".
        blend: Description of how scores were blended with the first stage, if they were.
    """
    texts = request.texts if request.return_documents else []
    results = [
        {
            "index": i,
            "relevance_score": sigmoid(scores[i]),
            **({"document": {"text": texts[i]}} if request.return_documents else {}),
        }
        for i in order
    ]
    meta: dict[str, Any] = {
        "api_version": {"version": api},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": tokens},
    }
    if blend is not None:
        meta["blend"] = blend
    return {
        "id": str(uuid.uuid4()),
        "object": "list",
        "model": version,
        "results": results,
        "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
        "meta": meta,
    }


def texts_ranking(request: TextsRequest, scores: Sequence[float]) -> list[dict[str, Any]]:
    """Build the response of /rerank, a plain list of results."""
    return [
        {
            "index": i,
            "score": scores[i] if request.raw_scores else sigmoid(scores[i]),
            **({"text": readable(request.texts[i])} if request.return_text else {}),
        }
        for i in order_of(scores)
    ]
