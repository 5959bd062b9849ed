"""Build the responses to requests for a ranking.

All formats return the same order: by raw score, ties in request order. `relevance_score` and `score` are the sigmoid of
the raw score; `raw_scores: true` returns the raw score itself.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ranked:
    """A ranking to return.

    Attributes:
        order: Indices of the documents, best first.
        scores: Raw score of each document of the request.
        texts: Text of each document of the request. None to return no texts.
        raw: Whether to return raw scores instead of their sigmoid.
    """

    order: Sequence[int]
    scores: Sequence[float]
    texts: Sequence[str] | None = None
    raw: bool = False

    def score(self, i: int) -> float:
        """Return the score of a document as the response has it."""
        return self.scores[i] if self.raw else sigmoid(self.scores[i])


def sigmoid(score: float) -> float:
    """Map a raw score to [0, 1]."""
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))


def order_of(scores: Sequence[float], top_n: int | None = None) -> list[int]:
    """Return the indices of the `top_n` best scores (all if None), best first. Ties keep their order."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:top_n]


def ranking_object(
    ranked: Ranked, version: str, tokens: int, api: str, blend: str | None = None, ignored: Sequence[str] = ()
) -> dict[str, Any]:
    """Build an object with `results`, which clients of Cohere, Jina, vLLM and Infinity can read.

    Args:
        ranked: The ranking.
        version: Version of the model.
        tokens: Tokens that the model read.
        api: Version of Cohere's API, "1" or "2".
        blend: Description of how scores were blended with the first stage, if they were.
        ignored: Names of the request's fields that had no effect.
    """
    meta: dict[str, Any] = {
        "api_version": {"version": api},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": tokens},
    }
    if blend is not None:
        meta["blend"] = blend
    if ignored:
        meta["warnings"] = [f"the field {name} had no effect" for name in ignored]
    return {
        "id": str(uuid.uuid4()),
        "object": "list",
        "model": version,
        "results": [_result(ranked, i) for i in ranked.order],
        "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
        "meta": meta,
    }


def ranking_array(ranked: Ranked) -> list[dict[str, Any]]:
    """Build an array of results, which clients of Text Embeddings Inference and Elasticsearch read."""
    return [
        {"index": i, "score": ranked.score(i), **({} if ranked.texts is None else {"text": ranked.texts[i]})}
        for i in ranked.order
    ]


def _result(ranked: Ranked, i: int) -> dict[str, Any]:
    document = {} if ranked.texts is None else {"document": {"text": ranked.texts[i]}}
    return {"index": i, "relevance_score": ranked.score(i), **document}
