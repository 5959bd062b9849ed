"""Estimate the relevance of documents from recorded clicks, corrected for position bias.

    python -m ray_jobs.clicks RUN.yaml
    python -m ray_jobs.clicks RUN.yaml --clicks.method em

Reads serving/exposures/ and serving/feedback/ under the storage root, of all runs and model versions, and searches and
events of User Behavior Insights if there are any. Writes clicks/ in
the run's folder: one row per query, and report.json with the position bias. `training.clicks` mixes the estimates with
the teacher's labels. Run it again to use clicks that were recorded since.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING
from ranking.clicks.click_estimation import PositionBias, position_bias, query_clicks
from ranking.clicks.click_join import JoinedClicks, join
from ranking.clicks.click_sources import recorded_clicks, recorded_rankings
from ranking.clicks.spilled_rows import bucket_count
from ranking.clicks.ubi_clicks import estimated_rows, ubi_clicks, ubi_files, ubi_rankings
from ranking.errors import InputError
from ranking.records import QueryClicks
from ranking.runs.stages import Stage
from ray_jobs.common.run import Run, job

READS = ("clicks",)
"""Settings that this job reads."""

REPORT = "report.json"
_ROWS_PER_PART = 5000


def main(run: Run) -> None:
    """Estimate propensities and relevance from the recorded clicks, write them, and print a report.

    Raises:
        InputError: Nothing is recorded, or there are too few clicks to estimate the position bias.
    """
    stage = run.plan.clicks
    if run.skip_if_finished(stage):
        return
    with tempfile.TemporaryDirectory(prefix="rradistill-clicks-") as folder:
        joined = _joined(run, Path(folder))
        bias = position_bias(joined, run.settings.clicks.depth)
        _check(run, bias)
        stage.begin()
        propensities = bias.propensities[run.settings.clicks.method].values
        rows = _write(stage, query_clicks(joined, propensities, run.settings.clicks))
    report = report_of(run, joined, bias) | rows
    stage.folder.write_text(REPORT, json.dumps(report, indent=2))
    run.report_stage(stage.finish(rows_in=rows["queries"], rows_out=rows["queries"]), "queries")
    show(run, report)


def _joined(run: Run, folder: Path) -> JoinedClicks:
    """Join the recorded exposures and clicks.

    Raises:
        InputError: There are none.
    """
    settings, place = run.settings.clicks, run.storage / SERVING
    exposures, feedback = place / EXPOSURES, place / FEEDBACK
    count = sum(exposures.count_rows(name) for name in exposures.names(".parquet"))
    queries = ubi_files(settings.ubi_queries, "clicks.ubi_queries") if settings.ubi_queries else []
    events = ubi_files(settings.ubi_events, "clicks.ubi_events") if settings.ubi_events else []
    rankings = chain(recorded_rankings(exposures, settings.experiments), ubi_rankings(queries))
    clicks = chain(recorded_clicks(feedback), ubi_clicks(events))
    joined = join(rankings, clicks, settings.depth, folder, bucket_count(count + estimated_rows(queries)))
    if joined.exposures:
        return joined
    if queries:
        raise InputError(
            f"clicks.ubi_queries {settings.ubi_queries}: no search has query_id, user_query and query_response_hit_ids"
        )
    if not count:
        raise InputError(f"{exposures.uri}: no exposures recorded; set serving.record.exposures, or clicks.ubi_queries")
    names = ", ".join(map(repr, settings.experiments))
    raise InputError(f"{exposures.uri}: no exposures of experiments {names}; change clicks.experiments")


def _check(run: Run, bias: PositionBias) -> None:
    """Raise InputError if there are too few clicks to estimate the position bias."""
    settings = run.settings.clicks
    clicks = bias.propensities[settings.method].clicks
    if clicks < settings.min_clicks:
        raise InputError(
            f"{(run.storage / SERVING).uri}: {clicks:,} clicks on documents that were shown at several positions for "
            f"the same query, but the position bias needs {settings.min_clicks:,} (clicks.min_clicks); record more "
            "traffic, best with serving.traffic in mode interleave or split"
        )


def _write(stage: Stage, rows: Iterable[QueryClicks]) -> dict[str, int]:
    """Write the rows in parts, and return the number of queries, of those with an estimate, and of estimates."""
    totals = dict.fromkeys(("queries", "queries_with_estimates", "estimates"), 0)
    remaining, number = iter(rows), 0
    while part := list(islice(remaining, _ROWS_PER_PART)):
        stage.folder.write_rows(f"part-{number:05}.parquet", part)
        number += 1
        totals["queries"] += len(part)
        totals["queries_with_estimates"] += sum(bool(row.documents) for row in part)
        totals["estimates"] += sum(len(row.documents) for row in part)
    return totals


def report_of(run: Run, joined: JoinedClicks, bias: PositionBias) -> dict[str, Any]:
    """Return the report: totals, the evidence for the position bias, and a row for each position."""
    settings = run.settings.clicks
    chosen = bias.propensities[settings.method]
    by_method = {name: _numbers(estimate.values) for name, estimate in bias.propensities.items()}
    return {
        "method": settings.method,
        "exposures": joined.exposures,
        "clicks": joined.clicks,
        "unmatched_clicks": joined.unmatched,
        "repeated_exposures": joined.repeated,
        "pairs_at_several_positions": chosen.pairs,
        "clicks_at_several_positions": chosen.clicks,
        "positions": [
            {"position": i + 1, "shown": int(shown), "clicks": int(clicks), "propensity": by_method[settings.method][i]}
            | {name: values[i] for name, values in by_method.items()}
            for i, (shown, clicks) in enumerate(zip(bias.shown, bias.clicks, strict=True))
        ],
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return the values, with None for NaN."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def show(run: Run, report: dict[str, Any]) -> None:
    """Print the report."""
    run.progress.stage(
        "clicks",
        f"{report['clicks']:,} clicks in {report['exposures']:,} exposures; position bias from "
        f"{report['clicks_at_several_positions']:,} clicks on {report['pairs_at_several_positions']:,} pairs of query "
        f"and document; {report['estimates']:,} documents of {report['queries_with_estimates']:,} of "
        f"{report['queries']:,} queries have an estimate",
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("position", "shown", "clicks", "click rate", "harvest", "em"):
        table.add_column(title, justify="right")
    for row in report["positions"]:
        rate = f"{row['clicks'] / row['shown']:.4f}" if row["shown"] else ""
        estimates = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("harvest", "em")]
        table.add_row(str(row["position"]), f"{row['shown']:,}", f"{row['clicks']:,}", rate, *estimates)
    run.progress.console.print(table)
    ignored = [str(row["position"]) for row in report["positions"] if row["shown"] and row["propensity"] is None]
    if ignored:
        run.progress.stage(
            "warning",
            f"no propensity for position {', '.join(ignored)}: no clicked documents connect it with position 1; its "
            "impressions are ignored",
        )


if __name__ == "__main__":
    job(main, READS)
