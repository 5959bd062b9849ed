"""Concurrent requests of the score cache: one computation, no deadlocks, failures and cancellation."""

import asyncio

import pytest

from actors.serving.caches.lookups import Lookups
from tests.testing.cached_scores import Caller, Model, run, score_of, started


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
