"""Traffic: what is recorded of answers that a challenger scores afterwards, and where there is nothing to compare."""

import asyncio

import pytest

from actors.serving.reranker import ScoredRequest
from actors.serving.settings import ServingSettings
from actors.serving.traffic import Traffic
from ranking.ab_test.exposure_records import EXPOSURES, SERVING, Exposure
from ranking.storage.folder import Folder

SHADOW = {"challenger": "b", "experiment": "autumn", "mode": "shadow", "share": 1.0}


class Silent:
    """Metrics that nobody reads."""

    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture
def traffic(tmp_path, monkeypatch):
    monkeypatch.setenv("RRADISTILL_JOURNALS", str(tmp_path / "journals"))

    def made(**more):
        settings = ServingSettings(traffic=SHADOW, record={"exposures": True, "flush_seconds": 1000}, **more)
        return Traffic(settings, Folder(tmp_path / "storage"), Silent())

    return made


def shown(traffic, shadow):
    """Show an answer of two documents, scored in shadow afterwards; returns its id."""
    plan = traffic.plan("user")
    answer = traffic.show(plan, [ScoredRequest([1.0, 2.0], "a", 9, 0.0, 0.0)], None)
    traffic.record(plan, answer, "q", ["0", "1"], shadow)
    return answer.exposure_id


def recorded(tmp_path):
    rows = list((Folder(tmp_path / "storage") / SERVING / EXPOSURES).read_rows(Exposure))
    return {row.exposure_id: row for row in rows}


async def never():
    await asyncio.Event().wait()


def test_what_is_still_to_be_scored_is_recorded_when_a_replica_ends(traffic, tmp_path):
    async def main():
        held = traffic()
        ids = [shown(held, never), shown(held, never)]
        await asyncio.sleep(0)
        held.close()
        return ids

    ids = asyncio.run(main())
    assert recorded(tmp_path).keys() == set(ids)


def test_a_challenger_that_takes_too_long_costs_its_order_only(traffic, tmp_path):
    async def main():
        held = traffic(limits={"timeout_seconds": 0.05})
        name = shown(held, never)
        async with asyncio.timeout(10):
            while held._shadows:
                await asyncio.sleep(0.01)
        held.close()
        return name

    name = asyncio.run(main())
    assert recorded(tmp_path)[name].shadow is None


def test_nothing_is_recorded_once_the_challenger_is_the_champion(traffic):
    plan = traffic().plan("user", are_one=True)
    assert (plan.key, plan.roles, plan.shadowed) == (None, ("champion",), False)
