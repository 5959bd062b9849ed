"""A model and a caller of the score cache, for tests."""

import asyncio

from actors.serving.caches.score_cache import ComputedScores, ScoreCache
from actors.serving.scoring.tokenizing import TextsToTokenize


def score_of(query, document, max_tokens, weight):
    return weight * (len(query) + 0.1 * len(document[:max_tokens]) + sum(map(ord, document)) / 7)


class Model:
    """Scores documents once `may_score` is set, and records them. Fails `failures` times."""

    def __init__(self, weight=1.0, failures=0):
        self.weight, self.failures = weight, failures
        self.seen, self.calls = [], 0
        self.may_score = asyncio.Event()
        self.may_score.set()

    async def __call__(self, texts):
        self.calls += 1
        self.seen += [(texts.query, document) for document in texts.documents]
        await self.may_score.wait()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("model failed")
        scores = [score_of(texts.query, text, texts.max_tokens_per_doc, self.weight) for text in texts.documents]
        tokens = [len(text) for text in texts.documents]
        return ComputedScores(scores, tokens, 0.25, 0.5, sum(tokens))


class Caller:
    """Asks a cache for scores, as the service does."""

    def __init__(self, megabytes=1.0, shared=True):
        self.lookups = []
        self.cache = ScoreCache(int(megabytes * 2**20), shared, self.lookups.append)
        self.cache.retain(["v1"])

    async def ask(self, model, documents, query="q", version="v1", caller="a", low_priority=False, **options):
        texts = TextsToTokenize(query, documents, **options)
        return await self.cache.scores(version, texts, caller, low_priority, model)


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 20))


async def started(coroutine):
    """Start a task and run it until it waits."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(5):
        await asyncio.sleep(0)
    return task
