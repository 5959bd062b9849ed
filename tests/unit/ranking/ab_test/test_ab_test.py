"""A/B reports: hand-computed values, and coverage of the intervals with simulated users."""

import json
import math

import numpy as np
import pytest

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.ab_test.inference import compare, keys_needed, one_sample, sample_ratio_p_value
from ranking.ab_test.outcomes import WINS, outcomes
from ranking.errors import InputError
from ranking.storage.folder import Folder
from ray_jobs import ab_report
from ray_jobs.common.run import open_run
from tests.testing.simulated_users import cascading, keys, position_biased

EXPERIMENTS = 500


def exposure(number, key="k", arm="champion", **overrides):
    fields = {
        "exposure_id": str(number),
        "at": 0.0,
        "experiment": "1",
        "mode": "split",
        "arm": arm,
        "version": arm[:4],
        "key": key,
    }
    return Exposure(**{**fields, "query": "q", "shown": ["a", "b", "c"], "share": 0.5, **overrides})


def event(event_id, exposure_id, position=1, kind="click", seconds=None):
    return FeedbackEvent(
        event_id=event_id, exposure_id=str(exposure_id), at=0.0, kind=kind, position=position, seconds=seconds
    )


def test_metrics_are_summed_by_key_without_duplicates():
    shown = [exposure(1), exposure(1), exposure(2), exposure(3, "other", "challenger"), exposure(4, experiment="old")]
    events = [
        event("a", 1, 3),
        event("a", 1, 3),
        event("b", 1, 2),
        event("c", 3, 1, "dwell", 4.5),
        event("d", 99),
        event("e", 2, 7),
    ]
    recorded = outcomes(shown, events, "1", at=2)
    champion, challenger = recorded.arms["champion"], recorded.arms["challenger"]
    assert (recorded.duplicate_rows, recorded.unmatched_events, recorded.crossed, recorded.share) == (2, 1, 0, 0.5)
    assert (champion.shown.tolist(), challenger.shown.tolist()) == ([2], [1])
    assert {name: sums.tolist() for name, sums in champion.sums.items()} == {
        "CTR": [1],
        "clicks": [2],
        "dwell": [0],
        "MRR": [0.5],
        WINS: [0],
    }
    assert challenger.sums["dwell"].tolist() == [4.5]


def test_keys_in_two_arms_are_excluded_and_a_changed_share_is_noted():
    shown = [exposure(1), exposure(2, arm="challenger"), exposure(3, "p"), exposure(4, "q", "challenger", share=0.2)]
    recorded = outcomes(shown, [], "1", 10)
    assert (recorded.arms["champion"].keys, recorded.arms["challenger"].keys) == (1, 1)
    assert (recorded.crossed, recorded.share) == (1, None)
    assert "start a new experiment" in recorded.notes[0]


def test_changed_version_of_an_arm_is_noted():
    recorded = outcomes(
        [exposure(1), exposure(2, "other", version="next"), exposure(3, "third", "challenger")], [], "1", 10
    )
    assert recorded.notes == ["arm champion was served by 2 versions (cham, next); its results mix them"]


def test_wins_of_an_interleaved_order():
    interleaved = {"arm": "interleaved", "mode": "interleave", "teams": ["champion", "challenger", "challenger"]}
    shown = [exposure(n, str(n), **interleaved) for n in range(4)]
    events = [
        event("a", 0, 1),
        event("b", 1, 2),
        event("c", 1, 3),
        event("d", 1, 1),
        event("e", 2, 1),
        event("f", 2, 2),
    ]
    assert outcomes(shown, events, "1", 10).arms["interleaved"].sums[WINS].tolist() == [-1, 1, 0, 0]


def test_difference_of_two_click_rates():
    ones = np.ones(200)
    difference = compare((np.repeat([0.0, 1.0], 100), ones), (np.repeat([0.0, 1.0], [80, 120]), ones), 0.05, 4000, 1)
    assert (difference.champion, difference.challenger) == (0.5, 0.6)
    assert difference.delta == pytest.approx(0.1)
    assert difference.lift == pytest.approx(0.2)
    assert difference.interval == pytest.approx((0.1 - 1.96 * 0.0495, 0.1 + 1.96 * 0.0495), abs=0.01)
    v, tau2 = (0.25 + 0.24) / 199, 0.01 * (0.25 + 0.24) / 2 * 200 / 199
    assert difference.p == pytest.approx(
        1 / (math.sqrt(v / (v + tau2)) * math.exp(tau2 * 0.01 / (2 * v * (v + tau2)))), rel=1e-3
    )
    low, high = difference.always_valid
    assert (low + high) / 2 == pytest.approx(0.1)
    assert high - low > difference.interval[1] - difference.interval[0]


def test_few_keys_give_no_sequential_test():
    single = (np.array([0.0]), np.array([3.0]))
    difference = compare(single, single, 0.05, 100, 1)
    assert (difference.delta, difference.interval, difference.lift, difference.always_valid, difference.p) == (
        0,
        (0, 0),
        None,
        None,
        None,
    )
    same = (np.ones(150), np.ones(150))
    assert compare(same, same, 0.05, 100, 1).p == 1.0


def test_sample_ratio_p_value_of_uneven_assignments():
    assert sample_ratio_p_value(5000, 5000, 0.5) == 1.0
    assert sample_ratio_p_value(5000, 5200, 0.5) == pytest.approx(0.0477, abs=1e-3)
    assert sample_ratio_p_value(9000, 1000, 0.1) == 1.0
    assert sample_ratio_p_value(5000, 5500, 0.5) == pytest.approx(1.06e-6, rel=0.01)
    assert (sample_ratio_p_value(10, 0, 0.0), sample_ratio_p_value(10, 1, 0.0)) == (1.0, 0.0)


def test_keys_needed_matches_the_power_formula():
    clicked = np.repeat([0.0, 1.0], [900, 100])  # p = .1: 2 * .09 * (1.96 + .8416)^2 / .005^2
    assert keys_needed(clicked, np.ones(1000), 0.05, 0.05) == pytest.approx(2 * 0.0901 * 7.849 / 0.005**2, rel=0.01)
    assert keys_needed(np.zeros(10), np.ones(10), 0.05, 0.05) is None


def rates(clicking, better, seed):
    """Simulate experiments and return three rates.

    The rates are: how often the bootstrap interval misses the true difference, how often the always-valid interval
    misses it at any look, and how often the sequential test is significant at the last look.
    """
    generator = np.random.default_rng(seed)
    large = [keys(generator, 300_000, quality, clicking) for quality in (1.0, 1.0 + better)]
    truth = large[1][0].sum() / large[1][1].sum() - large[0][0].sum() / large[0][1].sum() if better else 0.0
    missed = missed_at_any_look = significant = 0
    for number in range(EXPERIMENTS):
        arms = [keys(generator, 600, quality, clicking) for quality in (1.0, 1.0 + better)]
        wrong = False
        for look in range(100, 601, 50):
            part = [(sums[:look], shown[:look]) for sums, shown in arms]
            difference = compare(*part, 0.05, 250 if look == 600 else 1, number)
            wrong |= not difference.always_valid[0] <= truth <= difference.always_valid[1]
        missed += not difference.interval[0] <= truth <= difference.interval[1]
        missed_at_any_look += wrong
        significant += difference.p < 0.05
    return missed / EXPERIMENTS, missed_at_any_look / EXPERIMENTS, significant / EXPERIMENTS


@pytest.mark.parametrize("clicking", [position_biased, cascading])
def test_intervals_have_nominal_coverage_without_an_effect(clicking):
    missed, missed_at_any_look, significant = rates(clicking, 0.0, 1)
    assert 0.025 < missed < 0.08  # 5% of 500, within three standard errors
    assert missed_at_any_look < 0.08
    assert significant <= missed_at_any_look


@pytest.mark.parametrize("clicking", [position_biased, cascading])
def test_intervals_have_nominal_coverage_with_an_effect(clicking):
    missed, missed_at_any_look, significant = rates(clicking, -0.8, 2)
    assert 0.025 < missed < 0.08
    assert missed_at_any_look < 0.08
    assert significant > 0.1


def test_one_sample_has_nominal_coverage_without_an_effect():
    generator = np.random.default_rng(3)
    wrong = 0
    for number in range(EXPERIMENTS):
        wins = generator.choice([-1.0, 0.0, 1.0], 300, p=[0.2, 0.6, 0.2])
        difference = one_sample(wins, np.ones(300), 0.05, 250, number)
        wrong += not difference.interval[0] <= 0 <= difference.interval[1]
    assert 0.025 < wrong / EXPERIMENTS < 0.08


def opened(storage, *overrides):
    return open_run(["configs/quickstart.yaml", "--storage", str(storage), "--ab.resamples", "200", *overrides])


def test_report_of_an_experiment(tmp_path, capsys):
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
    output = capsys.readouterr().out
    assert "CTR@10" in output
    assert "always valid" in output
    report = json.loads((place / ab_report.REPORTS).read_text("1.json"))
    assert report["arms"]["champion"]["keys"] == report["arms"]["challenger"]["keys"] == 200
    assert report["comparisons"]["CTR"]["delta"] > 0.2
    assert report["comparisons"]["CTR"]["p"] < 0.05
    assert report["mismatch_p"] == 1.0
    assert report["warnings"] == []


def test_report_warns_about_problems_of_an_experiment(tmp_path, capsys):
    with pytest.raises(InputError, match=r"no exposures recorded; set serving\.record\.exposures"):
        ab_report.main(opened(tmp_path))
    place = Folder(tmp_path) / SERVING
    shown = [exposure(n, f"k{n}", "challenger" if n % 5 == 0 else "champion") for n in range(300)]
    (place / EXPOSURES).write_rows("part-1.parquet", shown)
    with pytest.raises(InputError, match="no exposures of experiment 'none'"):
        ab_report.main(opened(tmp_path, "--ab.experiment", "none"))
    ab_report.main(opened(tmp_path))
    output = " ".join(capsys.readouterr().out.split())
    assert "sample ratio mismatch" in output
    assert "an arm has fewer than 100 keys" in output
