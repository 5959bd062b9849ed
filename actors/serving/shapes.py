"""Requests and answers in the shapes that clients know: Cohere's, Jina's and Text Embeddings Inference's.

All have one order, that of the raw scores, equal ones in the order given. `relevance_score` and `score` are the sigmoid
of the raw score; `raw_scores: true` gives the raw score itself.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Annotated, Any

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


class TextDocument(BaseModel):
    """A document as an object. Other fields are taken and not used; a title is read as if it stood above the text."""

    model_config = ConfigDict(extra="allow")

    text: str
    title: str | None = None
    id: str | int | None = None


class RerankRequest(BaseModel):
    """The request of /v1/rerank and /v2/rerank. Other fields of Cohere's and Jina's are taken and not used, `model` too."""

    query: QueryText
    documents: Annotated[list[str | TextDocument], FailFast()]
    top_n: Count | None = None
    return_documents: bool = False
    max_tokens_per_doc: Count | None = None

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


class Feedback(BaseModel):
    """What a user did with an answer. event_id: events of one id count once; position: from 1, in the order shown."""

    model_config = ConfigDict(extra="forbid")

    exposure_id: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Annotated[str, Field(pattern="^(click|dwell)$")]
    position: Annotated[int, Field(ge=1, le=100_000)]
    seconds: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    event_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None


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


def ranking(request: RerankRequest, order: Sequence[int], scores: Sequence[float], version: str, tokens: int, api: str) -> dict[str, Any]:
    """The answer of /v1/rerank and /v2/rerank: what Cohere's clients read, and what Jina's do."""
    texts = request.texts if request.return_documents else []
    results = [
        {"index": i, "relevance_score": sigmoid(scores[i]), **({"document": {"text": texts[i]}} if request.return_documents else {})}
        for i in order
    ]
    meta = {"api_version": {"version": api}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": tokens}}
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
