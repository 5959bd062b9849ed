"""Report an A/B test: is the challenger better for users than the champion?

    python -m ray_jobs.ab_report RUN.yaml
    python -m ray_jobs.ab_report RUN.yaml --ab.experiment 2026-spring

Reads serving/exposures/ and serving/feedback/ under the storage root; rows with the same id are counted once. Prints a
table and writes serving/reports/<experiment>.json. Run it as often as you like: the always-valid interval remains
correct however often you look at the results, the bootstrap interval is correct only for a single look at the end.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.ab_test.inference import Difference, compare, keys_needed, one_sample, sample_ratio_p_value
from ranking.ab_test.outcomes import METRICS, WINS, RecordedExperiment, outcomes
from ranking.errors import InputError
from ranking.terminal_text import printable
from ray_jobs.common.run import Run, job

READS = ("serving", "ab")
"""Settings that this job reads."""

REPORTS = "reports"
MISMATCH_P = 0.001
"""If the p-value of the sample ratio mismatch test is below this, the report warns that its results are not valid."""


def main(run: Run) -> None:
    """Compute the report of the experiment, write it to storage, and print it.

    Raises:
        InputError: If nothing is recorded for the experiment.
    """
    settings = run.settings.ab
    experiment = settings.experiment or run.settings.serving.traffic.experiment
    place = run.storage / SERVING
    if not (place / EXPOSURES).names(".parquet"):
        raise InputError(f"{(place / EXPOSURES).uri}: no exposures recorded; set serving.record.exposures")
    events = (place / FEEDBACK).read_rows(FeedbackEvent) if (place / FEEDBACK).names(".parquet") else []
    recorded = outcomes((place / EXPOSURES).read_rows(Exposure), events, experiment, settings.at)
    if not recorded.arms:
        raise InputError(
            f"{(place / EXPOSURES).uri}: no exposures of experiment {experiment!r}; choose another with --ab.experiment"
        )
    report = {"experiment": experiment, **report_of(run, recorded)}
    (place / REPORTS).write_text(f"{re.sub(r'[^A-Za-z0-9._-]+', '-', experiment)}.json", json.dumps(report, indent=2))
    show(run, recorded, report)


def report_of(run: Run, recorded: RecordedExperiment) -> dict[str, Any]:
    """Compute the report: metrics of each arm, comparisons, number of experiment keys needed per arm, and warnings."""
    settings = run.settings.ab
    options = (settings.level, settings.resamples, settings.seed)
    arms = {
        name: {"version": arm.version, "keys": arm.keys, "exposures": int(arm.shown.sum())}
        | {metric: float(arm.sums[metric].sum() / arm.shown.sum()) for metric in METRICS}
        for name, arm in recorded.arms.items()
    }
    report: dict[str, Any] = {
        "mode": recorded.mode,
        "arms": arms,
        "doubles": recorded.duplicate_rows,
        "strangers": recorded.unmatched_events,
        "crossed": recorded.crossed,
    }
    champion, challenger, interleaved = (recorded.arms.get(name) for name in ("champion", "challenger", "interleaved"))
    if champion and challenger:
        differences = {
            m: compare((champion.sums[m], champion.shown), (challenger.sums[m], challenger.shown), *options)
            for m in METRICS
        }
        report["comparisons"] = {name: asdict(difference) for name, difference in differences.items()}
        needed = keys_needed(champion.sums["CTR"], champion.shown, settings.min_lift, settings.level)
        report["keys_needed"] = needed
        if recorded.share is not None:
            report["mismatch_p"] = sample_ratio_p_value(champion.keys, challenger.keys, recorded.share)
    if interleaved:
        report["comparisons"] = {WINS: asdict(one_sample(interleaved.sums[WINS], interleaved.shown, *options))}
    report["warnings"] = warnings_of(recorded, report)
    return report


def warnings_of(recorded: RecordedExperiment, report: dict[str, Any]) -> list[str]:
    """List problems that limit the validity of the report."""
    lines = list(recorded.notes)
    if report.get("mismatch_p", 1.0) < MISMATCH_P:
        lines.append(
            f"sample ratio mismatch (p = {report['mismatch_p']:.1g}): one arm loses keys, so the results are not valid"
        )
    if recorded.crossed:
        lines.append(f"{recorded.crossed:,} keys saw more than one arm and are excluded")
    if recorded.unmatched_events:
        lines.append(f"{recorded.unmatched_events:,} feedback events match no exposure of this experiment")
    if "comparisons" in report and all(one["always_valid"] is None for one in report["comparisons"].values()):
        lines.append("an arm has fewer than 100 keys: no always-valid interval yet")
    if "comparisons" not in report:
        lines.append("only one arm has exposures, so there is nothing to compare")
    return lines


def show(run: Run, recorded: RecordedExperiment, report: dict[str, Any]) -> None:
    """Print the report."""
    settings = run.settings.ab
    percent = f"{1 - settings.level:.0%}"
    for name, arm in report["arms"].items():
        text = f"{arm['version']}: {arm['exposures']:,} exposures to {arm['keys']:,} keys"
        values = ", ".join(f"{'CTR@' + str(settings.at) if m == 'CTR' else m} {arm[m]:.4f}" for m in METRICS)
        run.progress.stage(name, f"{text}; {values}")
    if "comparisons" in report:
        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title=Text(printable(f"experiment {report['experiment']}, {recorded.mode}"), "table.title"),
            title_justify="left",
        )
        for title in ("", "difference", f"{percent}, one look", "lift", f"{percent}, always valid", "p"):
            table.add_column(title, justify="left" if not title else "right")
        for name, values in report["comparisons"].items():
            table.add_row(*_row(f"CTR@{settings.at}" if name == "CTR" else name, Difference(**values)))
        run.progress.console.print(table)
    if report.get("keys_needed"):
        run.progress.stage(
            "",
            f"detecting a CTR lift of {settings.min_lift:.0%} needs {report['keys_needed']:,} keys per arm (power 80%)",
        )
    for line in report["warnings"]:
        run.progress.stage("warning", line)


def _row(name: str, difference: Difference) -> list[str]:
    """Format the table row of a metric."""
    always_valid = "" if difference.always_valid is None else _interval(*difference.always_valid)
    return [
        name,
        f"{difference.delta:+.4f}",
        _interval(*difference.interval),
        "" if difference.lift is None else f"{difference.lift:+.1%}",
        always_valid,
        "" if difference.p is None else f"{difference.p:.4f}",
    ]


def _interval(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}"


if __name__ == "__main__":
    job(main, READS, exclusive=False)
