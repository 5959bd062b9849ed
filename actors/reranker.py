"""The scorer replicas of the service: each holds the champion."""

from __future__ import annotations

from ray import serve
from starlette.concurrency import run_in_threadpool

from ranking.storage import Folder


@serve.deployment(max_ongoing_requests=16)
class Reranker:
    """Holds the champion and scores documents."""

    def __init__(self, model: Folder, checksum: str, threads: int) -> None:
        import torch  # here and not at the top: the driver that starts the service needs neither torch nor the model

        from actors.scorer import load_champion

        torch.set_num_threads(threads)
        self.scorer = load_champion(model, checksum)

    async def score(self, query: str, documents: list[str]) -> list[float]:
        """Score documents for a query, in the order given; raw scores."""
        return await run_in_threadpool(self.scorer.score, [(query, document) for document in documents])
