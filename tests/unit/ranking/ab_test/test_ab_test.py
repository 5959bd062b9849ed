"""A/B reports: worked out by hand, and right as often as they claim with simulated users."""

import json
import math

import numpy as np
import pytest

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.ab_test.inference import compare, keys_needed, mismatch, one_sample
from ranking.ab_test.outcomes import WINS, outcomes
from ranking.errors import InputError
from ranking.storage.folder import Folder
from ray_jobs import ab_report
from ray_jobs.common.run import open_run
from tests.testing.simulated_users import cascading, keys, position_biased

EXPERIMENTS = 500


def exposure(number, key="k", arm="champion", **more):
    held = {
        "exposure_id": str(number),
        "at": 0.0,
        "experiment": "1",
        "mode": "split",
        "arm": arm,
        "version": arm[:4],
        "key": key,
    }
    return Exposure(**{**held, "query": "q", "shown": ["a", "b", "c"], "share": 0.5, **more})


def event(event_id, exposure_id, position=1, kind="click", seconds=None):
    return FeedbackEvent(
        event_id=event_id, exposure_id=str(exposure_id), at=0.0, kind=kind, position=position, seconds=seconds
    )


def test_rows_are_folded_joined_and_added_up_by_key():
    shown = [exposure(1), exposure(1), exposure(2), exposure(3, "other", "challenger"), exposure(4, experiment="old")]
    events = [
        event("a", 1, 3),
        event("a", 1, 3),
        event("b", 1, 2),
        event("c", 3, 1, "dwell", 4.5),
        event("d", 99),
        event("e", 2, 7),
    ]
    read = outcomes(shown, events, "1", at=2)
    champion, challenger = read.arms["champion"], read.arms["challenger"]
    assert (read.doubles, read.strangers, read.crossed, read.share) == (2, 1, 0, 0.5)
    assert (champion.shown.tolist(), challenger.shown.tolist()) == ([2], [1])
    assert {name: held.tolist() for name, held in champion.sums.items()} == {
        "CTR": [1],
        "clicks": [2],
        "dwell": [0],
        "MRR": [0.5],
        WINS: [0],
    }
    assert challenger.sums["dwell"].tolist() == [4.5]


def test_a_key_in_two_arms_is_left_out_and_a_changed_share_is_told():
    shown = [exposure(1), exposure(2, arm="challenger"), exposure(3, "p"), exposure(4, "q", "challenger", share=0.2)]
    read = outcomes(shown, [], "1", 10)
    assert (read.crossed, read.arms["champion"].keys, read.arms["challenger"].keys, read.share) == (1, 1, 1, None)
    assert "begin another one" in read.notes[0]


def test_an_arm_whose_version_changed_is_told():
    read = outcomes(
        [exposure(1), exposure(2, "other", version="next"), exposure(3, "third", "challenger")], [], "1", 10
    )
    assert read.notes == ["arm champion was answered by 2 versions, cham, next: its numbers are a mixture of theirs"]


def test_wins_of_a_drafted_order():
    drafted = {"arm": "interleaved", "mode": "interleave", "teams": ["champion", "challenger", "challenger"]}
    shown = [exposure(n, str(n), **drafted) for n in range(4)]
    events = [
        event("a", 0, 1),
        event("b", 1, 2),
        event("c", 1, 3),
        event("d", 1, 1),
        event("e", 2, 1),
        event("f", 2, 2),
    ]
    assert outcomes(shown, events, "1", 10).arms["interleaved"].sums[WINS].tolist() == [-1, 1, 0, 0]


def test_a_difference_worked_out_by_hand():
    ones = np.ones(200)
    found = compare((np.repeat([0.0, 1.0], 100), ones), (np.repeat([0.0, 1.0], [80, 120]), ones), 0.05, 4000, 1)
    assert (found.champion, found.challenger) == (0.5, 0.6)
    assert found.delta == pytest.approx(0.1)
    assert found.lift == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.1 - 1.96 * 0.0495, 0.1 + 1.96 * 0.0495), abs=0.01)
    v, tau2 = (0.25 + 0.24) / 199, 0.01 * (0.25 + 0.24) / 2 * 200 / 199
    assert found.p == pytest.approx(
        1 / (math.sqrt(v / (v + tau2)) * math.exp(tau2 * 0.01 / (2 * v * (v + tau2)))), rel=1e-3
    )
    low, high = found.always_valid
    assert (low + high) / 2 == pytest.approx(0.1)
    assert high - low > found.interval[1] - found.interval[0]


def test_few_keys_and_nothing_at_all():
    one = (np.array([0.0]), np.array([3.0]))
    found = compare(one, one, 0.05, 100, 1)
    assert (found.delta, found.interval, found.lift, found.always_valid, found.p) == (0, (0, 0), None, None, None)
    same = (np.ones(150), np.ones(150))
    assert compare(same, same, 0.05, 100, 1).p == 1.0


def test_an_uneven_division_is_seen():
    assert mismatch(5000, 5000, 0.5) == 1.0
    assert mismatch(5000, 5200, 0.5) == pytest.approx(0.0477, abs=1e-3)
    assert mismatch(9000, 1000, 0.1) == 1.0
    assert mismatch(5000, 5500, 0.5) == pytest.approx(1.06e-6, rel=0.01)
    assert (mismatch(10, 0, 0.0), mismatch(10, 1, 0.0)) == (1.0, 0.0)


def test_keys_that_are_needed():
    clicked = np.repeat([0.0, 1.0], [900, 100])  # p = .1: 2 * .09 * (1.96 + .8416)^2 / .005^2
    assert keys_needed(clicked, np.ones(1000), 0.05, 0.05) == pytest.approx(2 * 0.0901 * 7.849 / 0.005**2, rel=0.01)
    assert keys_needed(np.zeros(10), np.ones(10), 0.05, 0.05) is None


def rates(clicking, better, seed):
    """Of many experiments: how often the bootstrap's interval misses the truth, the always-valid one does at any of its looks,
    and how often the lift is found by it in the end."""
    generator = np.random.default_rng(seed)
    large = [keys(generator, 300_000, quality, clicking) for quality in (1.0, 1.0 + better)]
    truth = large[1][0].sum() / large[1][1].sum() - large[0][0].sum() / large[0][1].sum() if better else 0.0
    missed = early = found = 0
    for number in range(EXPERIMENTS):
        arms = [keys(generator, 600, quality, clicking) for quality in (1.0, 1.0 + better)]
        wrong = False
        for look in range(100, 601, 50):
            part = [(sums[:look], shown[:look]) for sums, shown in arms]
            one = compare(*part, 0.05, 250 if look == 600 else 1, number)
            wrong |= not one.always_valid[0] <= truth <= one.always_valid[1]
        missed += not one.interval[0] <= truth <= one.interval[1]
        early += wrong
        found += one.p < 0.05
    return missed / EXPERIMENTS, early / EXPERIMENTS, found / EXPERIMENTS


@pytest.mark.parametrize("clicking", [position_biased, cascading])
def test_without_an_effect_it_is_wrong_as_seldom_as_it_says(clicking):
    missed, early, found = rates(clicking, 0.0, 1)
    assert 0.025 < missed < 0.08  # 5% of 500, within three standard errors
    assert early < 0.08
    assert found <= early


@pytest.mark.parametrize("clicking", [position_biased, cascading])
def test_with_an_effect_the_intervals_hold_it_as_often_as_they_say(clicking):
    missed, early, found = rates(clicking, -0.8, 2)
    assert 0.025 < missed < 0.08
    assert early < 0.08
    assert found > 0.1


def test_a_drafted_order_without_an_effect():
    generator = np.random.default_rng(3)
    wrong = 0
    for number in range(EXPERIMENTS):
        wins = generator.choice([-1.0, 0.0, 1.0], 300, p=[0.2, 0.6, 0.2])
        one = one_sample(wins, np.ones(300), 0.05, 250, number)
        wrong += not one.interval[0] <= 0 <= one.interval[1]
    assert 0.025 < wrong / EXPERIMENTS < 0.08


def opened(storage, *more):
    return open_run(["configs/quickstart.yaml", "--storage", str(storage), "--ab.resamples", "200", *more])


def test_the_report_of_an_experiment(tmp_path, capsys):
    place = Folder(tmp_path) / SERVING
    shown, events = [], []
    for n in range(400):
        arm = "challenger" if n % 2 else "champion"
        shown.append(exposure(n, f"k{n}", arm))
        if n % (4 if n % 2 else 10) < 2:
            events.append(event(f"e{n}", n, 1 + n % 3))
    (place / EXPOSURES).write_rows("part-1.parquet", shown)
    (place / FEEDBACK).write_rows("part-1.parquet", events)
    ab_report.main(opened(tmp_path))
    told = capsys.readouterr().out
    assert "CTR@10" in told
    assert "always valid" in told
    report = json.loads((place / ab_report.REPORTS).read_text("1.json"))
    assert report["arms"]["champion"]["keys"] == report["arms"]["challenger"]["keys"] == 200
    assert report["comparisons"]["CTR"]["delta"] > 0.2
    assert report["comparisons"]["CTR"]["p"] < 0.05
    assert report["mismatch_p"] == 1.0
    assert report["warnings"] == []


def test_what_is_wrong_with_an_experiment_is_told(tmp_path, capsys):
    with pytest.raises(InputError, match=r"nothing was recorded; serving\.record\.exposures"):
        ab_report.main(opened(tmp_path))
    place = Folder(tmp_path) / SERVING
    shown = [exposure(n, f"k{n}", "challenger" if n % 5 == 0 else "champion") for n in range(300)]
    (place / EXPOSURES).write_rows("part-1.parquet", shown)
    with pytest.raises(InputError, match="holds no exposure of experiment 'none'"):
        ab_report.main(opened(tmp_path, "--ab.experiment", "none"))
    ab_report.main(opened(tmp_path))
    told = " ".join(capsys.readouterr().out.split())
    assert "keys are not divided as they should be" in told
    assert "under 100 keys in an arm" in told
