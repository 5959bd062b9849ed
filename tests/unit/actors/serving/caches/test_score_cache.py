"""The cache of scores: same floats, one computation for concurrent requests, failures, promotion, isolation."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.serving.caches.bounded_cache import ENTRY_BYTES
from actors.serving.caches.lookups import Lookups
from actors.serving.caches.score_cache import SCORE_BYTES, ComputedScores, ScoreCache
from actors.serving.scoring.tokenizing import TextsToTokenize, TooLongError

ENTRY = ENTRY_BYTES + SCORE_BYTES


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


TEXT = st.sampled_from(["", "a", "b", "aa", "\0", "a\0", "long text " * 9, "漢字", "\ud800"])
REQUESTS = st.lists(
    st.tuples(TEXT, st.lists(TEXT, max_size=6), st.sampled_from([None, 1, 3]), st.sampled_from("ab")), max_size=12
)


@given(REQUESTS, st.sampled_from([0.0002, 0.001, 1]), st.booleans(), st.booleans())
def test_scores_are_exactly_those_without_a_cache(requests, megabytes, shared, concurrent):
    async def scenario():
        client, model = Caller(megabytes, shared), Model()
        asked = [
            client.ask(model, documents, query, caller=caller, max_tokens_per_doc=limit)
            for query, documents, limit, caller in requests
        ]
        results = await asyncio.gather(*asked) if concurrent else [await request for request in asked]
        for (query, documents, limit, _), result in zip(requests, results, strict=True):
            assert result.scores == [score_of(query, document, limit, 1.0) for document in documents]
            assert result.tokens == [len(document) for document in documents]
        assert client.cache.entries.size.bytes <= megabytes * 2**20

    run(scenario)


def test_only_missing_documents_are_computed():
    async def scenario():
        client, model = Caller(), Model()
        first = await client.ask(model, ["x", "yy", "x"])
        second = await client.ask(model, ["yy", "zzz", "x"])
        third = await client.ask(model, ["yy", "x"])
        assert model.seen == [("q", "x"), ("q", "yy"), ("q", "zzz")]
        assert client.lookups == [Lookups(0, 2, 0), Lookups(2, 1, 0), Lookups(2, 0, 0)]
        assert (first.computed_tokens, second.computed_tokens, third.computed_tokens) == (3, 3, 0)
        assert (second.queued, second.scored, third.queued, third.scored) == (0.25, 0.5, 0.0, 0.0)

    run(scenario)


def test_query_options_and_version_are_part_of_the_key():
    async def scenario():
        client, model = Caller(), Model()
        client.cache.retain(["v1", "v2"])
        await client.ask(model, ["text"])
        await client.ask(model, ["text"], query="other")
        await client.ask(model, ["text"], max_tokens_per_doc=2)
        await client.ask(model, ["text"], version="v2")
        assert model.calls == 4
        await client.ask(model, ["text"], field="texts")  # a name for messages
        assert model.calls == 4

    run(scenario)


@dataclass(frozen=True)
class TextsWithHeadings(TextsToTokenize):
    """Texts with a further value per document."""

    heading_lengths: tuple[int, ...] = ()


def test_further_values_per_document_are_part_of_its_key():
    async def scenario():
        client, model = Caller(), Model()
        received = []

        async def compute(texts):
            received.append((list(texts.documents), list(texts.heading_lengths)))
            return await model(texts)

        async def ask(documents, headings):
            texts = TextsWithHeadings("q", documents, heading_lengths=headings)
            await client.cache.scores("v1", texts, "a", False, compute)

        await ask(["x", "y"], (1, 2))
        await ask(["y", "x"], (2, 1))
        await ask(["x", "y"], (1, 3))
        assert received == [(["x", "y"], [1, 2]), (["y"], [3])]

    run(scenario)


def test_concurrent_identical_requests_are_computed_once():
    async def scenario():
        client, model = Caller(), Model()
        model.may_score.clear()
        tasks = [await started(client.ask(model, ["x", "yy"])) for _ in range(5)]
        model.may_score.set()
        results = await asyncio.gather(*tasks)
        assert model.calls == 1
        assert len({tuple(result.scores) for result in results}) == 1
        assert client.lookups.count(Lookups(0, 0, 2)) == 4
        assert [result.scored for result in results] == [0.5, 0, 0, 0, 0]

    run(scenario)


def test_overlapping_requests_wait_for_each_other_without_deadlock():
    async def scenario():
        client, model = Caller(), Model()
        model.may_score.clear()
        documents = [str(n) for n in range(12)]
        tasks = [await started(client.ask(model, documents[n:] + documents[:n])) for n in range(0, 12, 3)]
        tasks += [await started(client.ask(model, [*documents[n : n + 4], f"own {n}"])) for n in range(8)]
        model.may_score.set()
        for result in await asyncio.gather(*tasks):
            assert all(isinstance(score, float) for score in result.scores)
        assert not client.cache._computations

    run(scenario)


@pytest.mark.parametrize(
    "other", [{"caller": "b"}, {"low_priority": True}, {"documents": ["x"]}], ids=["caller", "priority", "smaller"]
)
def test_request_does_not_wait_for_one_that_may_be_slower(other):
    async def scenario():
        client, slow, model = Caller(), Model(), Model()
        slow.may_score.clear()
        first = await started(client.ask(slow, ["x", "yy"]))
        second = await client.ask(model, **{"documents": ["x", "yy"], **other})  # ends before the first
        assert not first.done()
        slow.may_score.set()
        assert (await first).scores[0] == second.scores[0]

    run(scenario)


def test_waiting_requests_compute_by_themselves_after_an_error():
    async def scenario():
        client, model = Caller(), Model(failures=1)
        model.may_score.clear()
        tasks = [await started(client.ask(model, ["x"])) for _ in range(3)]
        model.may_score.set()
        failed, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(failed, RuntimeError)
        assert [result.scores for result in others] == [[score_of("q", "x", None, 1.0)]] * 2
        assert model.calls == 2  # the third request finds the score of the second in the cache

    run(scenario)


def test_each_request_gets_the_error_of_a_model_that_always_fails():
    async def scenario():
        client, model = Caller(), Model(failures=100)
        model.may_score.clear()
        tasks = [await started(client.ask(model, ["x"])) for _ in range(4)]
        model.may_score.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(result) for result in results] == ["model failed"] * 4
        assert model.calls == 4
        assert not client.cache._computations

    run(scenario)


def test_next_request_takes_over_from_a_cancelled_one():
    async def scenario():
        client, model = Caller(), Model()
        model.may_score.clear()
        tasks = [await started(client.ask(model, ["x"])) for _ in range(4)]
        tasks[0].cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert model.calls == 2
        tasks[1].cancel()
        model.may_score.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[:2]] == [asyncio.CancelledError] * 2
        assert [result.scores for result in results[2:]] == [[score_of("q", "x", None, 1.0)]] * 2
        assert model.calls == 3

    run(scenario)


def test_cancelled_waiting_request_does_not_cancel_the_computation():
    async def scenario():
        client, model = Caller(), Model()
        model.may_score.clear()
        first, second, third = [await started(client.ask(model, ["x"])) for _ in range(3)]
        second.cancel()
        model.may_score.set()
        assert (await first).scores == (await third).scores
        assert model.calls == 1

    run(scenario)


def test_promotion_drops_old_scores_and_requests_in_flight_add_none():
    async def scenario():
        client, old, new = Caller(), Model(), Model(weight=2.0)
        await client.ask(old, ["before"])
        old.may_score.clear()
        in_flight = await started(client.ask(old, ["x"]))
        client.cache.retain(["v2"])
        assert len(client.cache.entries) == 0
        promoted = await client.ask(new, ["x", "before"], version="v2")
        assert promoted.scores == [score_of("q", text, None, 2.0) for text in ("x", "before")]
        old.may_score.set()
        assert (await in_flight).scores == [score_of("q", "x", None, 1.0)]
        assert len(client.cache.entries) == 2  # those of v2
        assert (await client.ask(new, ["x"], version="v2")).scores == [score_of("q", "x", None, 2.0)]
        assert client.cache.entries.size.bytes == 2 * ENTRY

    run(scenario)


def test_rolled_back_version_is_computed_again():
    async def scenario():
        client, model = Caller(), Model()
        for version in ("v1", "v2", "v1"):
            client.cache.retain([version])
            await client.ask(model, ["x"], version=version)
        assert model.calls == 3

    run(scenario)


def test_callers_share_scores_only_if_allowed():
    async def calls(shared):
        client, model = Caller(shared=shared), Model()
        for caller in "aba":
            await client.ask(model, ["x"], caller=caller)
        return model.calls

    assert run(lambda: calls(True)) == 1
    assert run(lambda: calls(False)) == 2


def test_request_that_must_not_be_truncated_does_not_use_the_cache():
    async def scenario():
        client, model = Caller(), Model()

        async def refuse(texts):
            raise TooLongError(f"documents[{texts.documents.index('long')}]")

        await client.ask(model, ["x", "long"])
        with pytest.raises(TooLongError, match=r"documents\[1\]"):
            await client.ask(refuse, ["x", "long"], truncate=False)
        assert client.lookups == [Lookups(0, 2, 0)]

    run(scenario)


def test_results_do_not_depend_on_what_was_evicted_meanwhile():
    async def scenario():
        client, model = Caller(2 * ENTRY / 2**20), Model()
        documents = [str(n) for n in range(30)]
        result = await client.ask(model, documents)
        assert result.scores == [score_of("q", text, None, 1.0) for text in documents]
        assert len(client.cache.entries) == 2
        assert replace(await client.ask(model, documents), computed_tokens=result.computed_tokens) == result

    run(scenario)
