"""The HTTP routes of the service; the scores come from the replicas of `reranker`. Light: no torch here."""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from ray import serve
from ray.serve.handle import DeploymentHandle

api = FastAPI(title="rradistill")


# serve.ingress pickles the routes where the class is made, so what they call stands above it.
def document_text(document: str | dict[str, Any]) -> str:
    """Read a document given as text or as an object with `text`, and perhaps `title`."""
    if isinstance(document, str):
        return document
    text, title = document.get("text"), document.get("title")
    if not isinstance(text, str):
        raise HTTPException(422, "a document is a string, or an object with a string 'text'")
    return f"{title}\n{text}" if isinstance(title, str) and title else text


def sigmoid(score: float) -> float:
    """Map a score to 0..1."""
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))


class RerankRequest(BaseModel):
    """The request of Cohere's and Jina's rerank routes; other fields of theirs are taken and not used."""

    query: Annotated[str, Field(min_length=1)]
    documents: list[str | dict[str, Any]]
    top_n: Annotated[int | None, Field(ge=1)] = None
    return_documents: bool = False


@serve.deployment(max_ongoing_requests=64)
@serve.ingress(api)
class Ingress:
    """The HTTP routes."""

    def __init__(self, reranker: DeploymentHandle, version: str, max_documents: int) -> None:
        self.reranker = reranker
        self.version = version
        self.max_documents = max_documents

    @api.get("/health")
    async def health(self) -> dict[str, str]:
        """Answer while the service is up."""
        return {"status": "ok", "model": self.version}

    @api.post("/v1/rerank")
    async def rerank(self, request: RerankRequest) -> dict[str, Any]:
        """Rank documents, best first; relevance_score is the sigmoid of the student's score."""
        if len(request.documents) > self.max_documents:
            raise HTTPException(422, f"{len(request.documents)} documents are more than {self.max_documents}")
        texts = [document_text(document) for document in request.documents]
        scores = await self.reranker.score.remote(request.query, texts) if texts else []
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[: request.top_n]
        results = []
        for i in order:
            result: dict[str, Any] = {"index": i, "relevance_score": sigmoid(scores[i])}
            if request.return_documents:
                result["document"] = {"text": texts[i]}
            results.append(result)
        return {"id": str(uuid.uuid4()), "model": self.version, "results": results, "meta": {"api_version": {"version": "1"}}}
