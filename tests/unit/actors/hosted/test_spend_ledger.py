"""The ledger of a hosted model: reservations, the cap and lost workers."""

import asyncio

import pytest

from actors.hosted import spend_ledger
from actors.hosted.hosted_errors import Stop
from actors.hosted.spend_ledger import SpendLedger
from ranking.token_prices import TokenPrices


def run(steps, cap=10.0, **options):
    async def main():
        ledger = SpendLedger(None, TokenPrices(1, 1), cap, **options)
        return await steps(ledger)

    return asyncio.run(main())


def test_request_waits_until_reservations_of_others_are_settled():
    async def steps(ledger):
        first = await ledger.reserve(6.0)
        second = asyncio.create_task(ledger.reserve(6.0))
        await asyncio.sleep(0.01)
        waited = not second.done()
        await ledger.settle(first, 2.0, answered=True)
        return waited, await second

    waited, second = run(steps)
    assert waited
    assert second is not None


def test_single_request_is_sent_below_the_cap_and_none_above():
    async def steps(ledger):
        first = await ledger.reserve(50.0)
        await ledger.settle(first, 9.0, answered=True)
        second = await ledger.reserve(50.0)
        await ledger.settle(second, 4.0, answered=True)
        return await ledger.reserve(0.1), await ledger.summary()

    third, summary = run(steps)
    assert third is None
    assert (summary.spent, summary.stop) == (13.0, Stop("cap", "spent 13.0000 of 10.0000"))


def test_stop_wakes_waiting_requests_and_the_first_reason_counts():
    async def steps(ledger):
        await ledger.reserve(8.0)
        waiting = asyncio.create_task(ledger.reserve(8.0))
        await asyncio.sleep(0.01)
        await ledger.stop(Stop("input", "first"))
        await ledger.stop(Stop("service", "second"))
        return await waiting, (await ledger.summary()).stop.reason

    assert run(steps) == (None, "first")


def test_reservation_of_a_lost_worker_expires(monkeypatch):
    monkeypatch.setattr(spend_ledger, "_CHECK_SECONDS", 0.01)
    now = [0.0]

    async def steps(ledger):
        await ledger.reserve(8.0)
        waiting = asyncio.create_task(ledger.reserve(8.0))
        await asyncio.sleep(0.05)
        before = waiting.done()
        now[0] = 61.0
        return before, await waiting

    before, reservation = run(steps, lease_seconds=60.0, clock=lambda: now[0])
    assert not before
    assert reservation is not None


def test_price_is_per_million_tokens():
    from ranking.records import TokenCounts

    assert TokenPrices(2.0, 8.0).cost(TokenCounts(prompt=500_000, completion=250_000)) == pytest.approx(3.0)
