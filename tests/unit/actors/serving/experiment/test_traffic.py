"""Recording of shadow requests, and the end of an experiment."""

import asyncio

import pytest

from actors.serving.experiment.traffic import Traffic, TrafficPlan
from actors.serving.scoring.reranker import ScoredRequest
from actors.serving.serving_settings import ServingSettings
from ranking.ab_test.exposure_records import EXPOSURES, SERVING, Exposure
from ranking.storage.folder import Folder
from tests.testing.small_disk import fill, small_disk

SHADOW = {"challenger": "b", "experiment": "autumn", "mode": "shadow", "share": 1.0}


class NullMetrics:
    """Replaces IngressMetrics, which needs a Ray cluster."""

    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture
def make_traffic(tmp_path, monkeypatch):
    monkeypatch.setenv("RRADISTILL_JOURNALS", str(tmp_path / "journals"))

    def make(**more_settings):
        settings = ServingSettings(traffic=SHADOW, record={"exposures": True, "flush_seconds": 1000}, **more_settings)
        return Traffic(settings, Folder(tmp_path / "storage"), NullMetrics())

    return make


def shown(traffic, shadow):
    """Record a served ranking of two documents, score it in shadow mode, and return its exposure id."""
    plan = traffic.plan("user")
    ranking = traffic.show(plan, [ScoredRequest([1.0, 2.0], "a", 9, 0.0, 0.0)], None)
    traffic.record(plan, ranking, "q", ["0", "1"], shadow)
    return ranking.exposure_id


def recorded(tmp_path):
    rows = list((Folder(tmp_path / "storage") / SERVING / EXPOSURES).read_rows(Exposure))
    return {row.exposure_id: row for row in rows}


async def never_score():
    await asyncio.Event().wait()


def test_close_records_unscored_shadow_requests(make_traffic, tmp_path):
    async def main():
        traffic = make_traffic()
        ids = [shown(traffic, never_score), shown(traffic, never_score)]
        await asyncio.sleep(0)
        traffic.close()
        return ids

    ids = asyncio.run(main())
    assert recorded(tmp_path).keys() == set(ids)


def test_shadow_timeout_records_the_exposure_without_shadow_order(make_traffic, tmp_path):
    async def main():
        traffic = make_traffic(limits={"timeout_seconds": 0.05})
        exposure_id = shown(traffic, never_score)
        async with asyncio.timeout(10):
            while traffic._shadows:
                await asyncio.sleep(0.01)
        traffic.close()
        return exposure_id

    exposure_id = asyncio.run(main())
    assert recorded(tmp_path)[exposure_id].shadow is None


def test_experiment_ends_when_the_challenger_is_the_champion(make_traffic):
    plan = make_traffic().plan("user", challenger_is_champion=True)
    assert (plan.key, plan.roles, plan.shadowed) == (None, ("champion",), False)


def test_full_journal_disk_does_not_fail_the_request(make_traffic, tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk") as disk:
        monkeypatch.setenv("RRADISTILL_JOURNALS", str(disk))
        traffic, lost = make_traffic(), []
        traffic._metrics.record_lost_exposure = lambda: lost.append(1)
        shadow = never_score

        async def serve(count):
            return [shown(traffic, shadow) for _ in range(count)]

        ballast = fill(disk)
        served = asyncio.run(serve(30))
        assert len(served) == 30
        ballast.unlink()
        traffic.close()
        assert len(lost) + len(recorded(tmp_path)) == 30
        assert len(lost) > 0


def test_minimum_score_filters_an_interleaved_ranking_by_contributor(make_traffic):
    traffic = make_traffic()
    plan = TrafficPlan("interleaved", ("champion", "challenger"), "user")
    champion = ScoredRequest([9.0, 1.0, -1.0, -2.0], "a", 9, 0.0, 0.0)
    challenger = ScoredRequest([-2.0, -1.0, 1.0, 9.0], "b", 9, 0.0, 0.0)
    for _ in range(20):
        every = traffic.show(plan, [champion, challenger], None)
        # each team picks its best documents first, and documents 0 and 3 are the best
        assert dict(zip(every.order, every.teams, strict=True)) | {1: "", 2: ""} == {
            0: "champion",
            1: "",
            2: "",
            3: "challenger",
        }
        kept = traffic.show(plan, [champion, challenger], None, min_score=0.9)
        assert (sorted(kept.order), sorted(kept.teams)) == ([0, 3], ["challenger", "champion"])
        assert all(kept.scores[i] == 9.0 for i in kept.order)
        assert len(traffic.show(plan, [champion, challenger], 1, min_score=0.9).order) == 1
        assert traffic.show(plan, [champion, challenger], None, min_score=0.99999).order == []


def test_minimum_score_filters_the_ranking_of_one_model(make_traffic):
    traffic = make_traffic()
    scored = [ScoredRequest([1.0, -1.0, 2.0], "a", 9, 0.0, 0.0)]
    assert traffic.show(traffic.plan(None), scored, None, min_score=0.5).order == [2, 0]
    assert traffic.show(traffic.plan(None), scored, 1, min_score=0.5).order == [2]
