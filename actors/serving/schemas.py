"""Requests and answers in the shapes that clients know: Cohere's, Jina's and Text Embeddings Inference's.

All have one order, that of the raw scores, equal ones in the order given. `relevance_score` and `score` are the sigmoid
of the raw score; `raw_scores: true` gives the raw score itself. Where a student has a blend, a request may say how the first stage ranked
its documents: `first_stage: order` (as given) or `scores` (a `score` on every document); raw scores are then blended ones.
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
    """Not by min_length, as pydantic then refuses halves of characters, which documents may hold."""
    if not text:
        raise PydanticCustomError("empty", "Input should have at least 1 character")
    return text


LONGEST_ID = 200
Count = Annotated[int, Field(ge=1, le=2**31)]
QueryText = Annotated[str, AfterValidator(_not_empty), Field(json_schema_extra={"minLength": 1})]


FirstStageField = Annotated[
    Literal["order", "scores", "none"] | None,
    Field(
        description="How the first stage ranked the documents, for a student with a blend: `order`, as they are given; `scores`, by the "
        "`score` of each document; `none`, not to be blended. Left out: `scores` where every document has one, else `none`."
    ),
]


class TextDocument(BaseModel):
    """A document as an object. Other fields are accepted and ignored; the title is read before the text.

    score: the first stage's; used for blending if it is a finite number.
    """

    model_config = ConfigDict(extra="allow")

    text: str
    title: str | None = None
    id: str | int | None = None
    score: Any = None


@dataclass(frozen=True)
class FirstStage:
    """How the first stage ranked a request's documents. scores: one for each; None where their order is all that is known."""

    scores: list[float] | None = None


class RerankRequest(BaseModel):
    """The request of /v1/rerank and /v2/rerank. Other fields of Cohere's and Jina's are taken and not used, `model` too."""

    query: QueryText
    documents: Annotated[list[str | TextDocument], FailFast()]
    top_n: Count | None = None
    return_documents: bool = False
    max_tokens_per_doc: Count | None = None
    first_stage: FirstStageField = None

    def ranked_before(self) -> FirstStage | None:
        """How the first stage ranked the documents; None where the request does not say. Raises ValueError for a missing score."""
        if self.first_stage == "none" or not self.documents:
            return None
        if self.first_stage == "order":
            return FirstStage()
        scores = [_score_of(document) for document in self.documents]
        if self.first_stage == "scores" and None in scores:
            raise ValueError(
                f"documents[{scores.index(None)}].score: a finite number is needed, as first_stage is scores"
            )
        return None if None in scores else FirstStage([score for score in scores if score is not None])

    @property
    def texts(self) -> list[str]:
        """Documents as the model reads them."""
        return [document_text(document) for document in self.documents]

    @property
    def ids(self) -> list[str]:
        """What documents are called: by their `id`, cut at 200 characters, else by their place."""
        given = [None if isinstance(document, str) else document.id for document in self.documents]
        return [readable(str(place if one is None else one))[:LONGEST_ID] for place, one in enumerate(given)]


class TextsRequest(BaseModel):
    """The request of /rerank, as in Text Embeddings Inference."""

    query: QueryText
    texts: Annotated[list[str], FailFast()]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = True
    first_stage: Annotated[
        Literal["order", "none"] | None, Field(description="As in /v1/rerank; texts have no scores.")
    ] = None


class Feedback(BaseModel):
    """What a user did with an answer. event_id: events of one id count once; position: from 1, in the order shown."""

    model_config = ConfigDict(extra="forbid")

    exposure_id: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Annotated[str, Field(pattern="^(click|dwell)$")]
    position: Annotated[int, Field(ge=1, le=100_000)]
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    event_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None


def _score_of(document: str | TextDocument) -> float | None:
    """The first stage's score of a document; None where it has no finite one."""
    score = None if isinstance(document, str) else document.score
    if isinstance(score, bool) or not isinstance(score, int | float):
        return None
    try:
        value = float(score)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def document_text(document: str | TextDocument) -> str:
    """A document's text, below its title where it has one."""
    if isinstance(document, str):
        return readable(document)
    return readable(f"{document.title}\n{document.text}" if document.title else document.text)


def readable(text: str) -> str:
    """Replace halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def sigmoid(score: float) -> float:
    """Map a score to 0..1."""
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))


def order_of(scores: Sequence[float], top_n: int | None = None) -> list[int]:
    """Places of the best scores, best first; equal ones in the order given."""
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
    """The answer of /v1/rerank and /v2/rerank: what Cohere's clients read, and what Jina's do. blend: how scores were blended."""
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
    """The answer of /rerank: a bare list."""
    return [
        {
            "index": i,
            "score": scores[i] if request.raw_scores else sigmoid(scores[i]),
            **({"text": readable(request.texts[i])} if request.return_text else {}),
        }
        for i in order_of(scores)
    ]
