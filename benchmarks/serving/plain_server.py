"""Serve a CrossEncoder of sentence-transformers behind FastAPI: the simplest baseline.

    python -m benchmarks.serving.plain_server MODEL PORT

MODEL is the folder of a saved student.
"""

from __future__ import annotations

import sys
import threading

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import CrossEncoder

api = FastAPI()
lock = threading.Lock()


class Request(BaseModel):
    """The required part of Cohere's rerank request."""

    query: str
    documents: list[str]


@api.get("/health")
def health() -> dict[str, str]:
    """Report that the server is up."""
    return {"status": "ok"}


@api.post("/v1/rerank")
def rerank(request: Request) -> dict[str, list[dict[str, float]]]:
    """Rank documents by their scores, best first."""
    with lock:
        scores = api.state.model.predict([(request.query, document) for document in request.documents])
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return {"results": [{"index": i, "relevance_score": float(scores[i])} for i in order]}


if __name__ == "__main__":
    api.state.model = CrossEncoder(sys.argv[1], trust_remote_code=False, device="cpu")
    uvicorn.run(api, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
