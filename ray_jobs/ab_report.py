"""From exposures and feedback to a lift with intervals: whether the challenger does better with users.

    python -m ray_jobs.ab_report RUN.yaml
    python -m ray_jobs.ab_report RUN.yaml --ab.experiment 2026-spring

Reads serving/exposures/ and serving/feedback/ under the storage root, where rows of one id count once. Prints a table and
writes serving/reports/<experiment>.json. May be called at any time: the always-valid column holds at every look, the bootstrap's
only at the last one.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.ab_test.inference import Difference, compare, keys_needed, mismatch, one_sample
from ranking.ab_test.outcomes import METRICS, WINS, RecordedExperiment, outcomes
from ranking.errors import InputError
from ray_jobs.common.run import Run, job

REPORTS = "reports"
TRUSTED = 0.001


def main(run: Run) -> None:
    settings = run.settings.ab
    experiment = settings.experiment or run.settings.serving.traffic.experiment
    place = run.storage / SERVING
    if not (place / EXPOSURES).names(".parquet"):
        raise InputError(
            f"{(place / EXPOSURES).uri}: nothing was recorded; serving.record.exposures writes what callers with a key saw"
        )
    events = (place / FEEDBACK).read_rows(FeedbackEvent) if (place / FEEDBACK).names(".parquet") else []
    read = outcomes((place / EXPOSURES).read_rows(Exposure), events, experiment, settings.at)
    if not read.arms:
        raise InputError(
            f"{(place / EXPOSURES).uri}: holds no exposure of experiment {experiment!r}; --ab.experiment names another"
        )
    found = {"experiment": experiment, **findings(run, read)}
    (place / REPORTS).write_text(f"{re.sub(r'[^A-Za-z0-9._-]+', '-', experiment)}.json", json.dumps(found, indent=2))
    show(run, read, found)


def findings(run: Run, read: RecordedExperiment) -> dict[str, Any]:
    """All numbers of the report."""
    settings = run.settings.ab
    how = (settings.level, settings.resamples, settings.seed)
    arms = {
        name: {"version": arm.version, "keys": arm.keys, "exposures": int(arm.shown.sum())}
        | {metric: float(arm.sums[metric].sum() / arm.shown.sum()) for metric in METRICS}
        for name, arm in read.arms.items()
    }
    found: dict[str, Any] = {
        "mode": read.mode,
        "arms": arms,
        "doubles": read.doubles,
        "strangers": read.strangers,
        "crossed": read.crossed,
    }
    champion, challenger, drafted = (read.arms.get(name) for name in ("champion", "challenger", "interleaved"))
    if champion and challenger:
        compared = {
            m: compare((champion.sums[m], champion.shown), (challenger.sums[m], challenger.shown), *how)
            for m in METRICS
        }
        found["comparisons"] = {name: asdict(one) for name, one in compared.items()}
        needed = keys_needed(champion.sums["CTR"], champion.shown, settings.min_lift, settings.level)
        found["keys_needed"] = needed
        if read.share is not None:
            found["mismatch_p"] = mismatch(champion.keys, challenger.keys, read.share)
    if drafted:
        found["comparisons"] = {WINS: asdict(one_sample(drafted.sums[WINS], drafted.shown, *how))}
    found["warnings"] = warnings_of(read, found)
    return found


def warnings_of(read: RecordedExperiment, found: dict[str, Any]) -> list[str]:
    """What a reader should know before believing a number."""
    lines = list(read.notes)
    if found.get("mismatch_p", 1.0) < TRUSTED:
        lines.append(
            f"keys are not divided as they should be (p = {found['mismatch_p']:.1g}): one arm loses some, so trust none of this"
        )
    if read.crossed:
        lines.append(f"{read.crossed:,} keys saw more than one arm and are left out")
    if read.strangers:
        lines.append(f"{read.strangers:,} events are about no exposure of this experiment")
    if "comparisons" in found and all(one["always_valid"] is None for one in found["comparisons"].values()):
        lines.append("under 100 keys in an arm: no always-valid interval yet")
    if "comparisons" not in found:
        lines.append("only one arm has been shown so far, so there is nothing to compare")
    return lines


def show(run: Run, read: RecordedExperiment, found: dict[str, Any]) -> None:
    settings = run.settings.ab
    percent = f"{1 - settings.level:.0%}"
    for name, arm in found["arms"].items():
        text = f"{arm['version']}: {arm['exposures']:,} exposures of {arm['keys']:,} keys"
        values = ", ".join(f"{'CTR@' + str(settings.at) if m == 'CTR' else m} {arm[m]:.4f}" for m in METRICS)
        run.progress.stage(name, f"{text}; {values}")
    if "comparisons" in found:
        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title=f"experiment {found['experiment']}, {read.mode}",
            title_justify="left",
        )
        for title in ("", "difference", f"{percent}, one look", "lift", f"{percent}, always valid", "p"):
            table.add_column(title, justify="left" if not title else "right")
        for name, values in found["comparisons"].items():
            table.add_row(*_row(f"CTR@{settings.at}" if name == "CTR" else name, Difference(**values)))
        run.progress.console.print(table)
    if found.get("keys_needed"):
        run.progress.stage(
            "", f"a lift of {settings.min_lift:.0%} in CTR needs {found['keys_needed']:,} keys an arm (power 80%)"
        )
    for line in found["warnings"]:
        run.progress.stage("warning", line)


def _row(name: str, one: Difference) -> list[str]:
    always = "" if one.always_valid is None else _between(*one.always_valid)
    return [
        name,
        f"{one.delta:+.4f}",
        _between(*one.interval),
        "" if one.lift is None else f"{one.lift:+.1%}",
        always,
        "" if one.p is None else f"{one.p:.4f}",
    ]


def _between(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}"


if __name__ == "__main__":
    job(main, alone=False)
