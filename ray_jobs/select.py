"""From a query log to the queries worth labelling: the rare, long and complex ones.

    python -m ray_jobs.select configs/quickstart.yaml
    python -m ray_jobs.select configs/quickstart.yaml --queries.log s3://bucket/searches/ --queries.sample 7000

Workers read the log, count each query's forms as one, fold near-duplicates, score and choose. Writes queries/
of the run's folder; what is left out goes to rejected/ with the reason. docs/long_tail.md tells the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ranking.collections.log_files import find_log
from ranking.errors import InputError
from ranking.runs.stages import Stage
from ranking.selection.long_tail import Selection, keys_of_questions
from ray_jobs.common import plan
from ray_jobs.common.run import Run, job

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.query_log.long_tail_selection import Sums


def main(run: Run) -> None:
    stage = plan.queries_stage(run)
    if run.skipped(stage):
        return
    run.start_ray()
    counted = counted_log(run)
    sums = checked_sums(run, counted)
    stage.begin()
    counts = select(run, stage, counted, sums)
    finish(run, stage, sums, counts)


def counted_log(run: Run) -> Dataset:
    """Count the log of the settings, or the collection's own, on workers; the result stays there."""
    from actors.query_log.counting import count, forms_of_files, forms_of_queries

    settings = run.settings.queries
    if settings.log is None:
        return count(*forms_of_queries(run.collection.log)).materialize()
    return count(*forms_of_files(find_log(settings.log), settings.columns)).materialize()


def checked_sums(run: Run, counted: Dataset) -> Sums:
    """Add up the counted log. Raises InputError where it is malformed or empty."""
    from actors.query_log.long_tail_selection import sums_of

    name = run.settings.queries.log or f"of {run.collection.name}"
    sums = sums_of(counted)
    if sums.problem is not None:
        raise InputError(sums.problem)
    if not sums.queries:
        raise InputError(f"queries.log {name}: the query log is empty")
    return sums


def select(run: Run, stage: Stage, counted: Dataset, sums: Sums) -> Counter[str]:
    """Choose and write; returns how many queries were selected, and left out by kind of reason."""
    from actors.data.streaming import forget_rejections
    from actors.query_log.long_tail_selection import last_lot, write_selection

    settings = run.settings.queries
    forget_rejections(stage)
    selection = Selection(settings, sums.searches, keys_of_questions([query.text for query in run.collection.test]))
    if settings.sample is not None:
        selection = replace(selection, last_lot=last_lot(counted, selection, settings.sample))
    return write_selection(counted, selection, stage)


def finish(run: Run, stage: Stage, sums: Sums, counts: Counter[str]) -> None:
    """Check that each distinct query is accounted for, and say what became of them. Raises InputError where none is selected."""
    from actors.query_log.long_tail_selection import SELECTED

    chosen, left = counts.pop(SELECTED, 0), counts.total()
    reasons = ", ".join(f"{rows:,} {kind}" for kind, rows in counts.most_common())
    if not chosen:
        raise InputError(
            f"queries: none of the {sums.queries:,} queries of the log is long-tail ({reasons}); loosen queries.long_tail"
        )
    if chosen + left != sums.queries:
        raise RuntimeError(f"stage queries: {sums.queries} queries in, but {chosen} selected and {left} left out")
    stage.finish(rows_in=sums.queries, rows_out=chosen, rejected=left)
    run.progress.stage(
        "queries", f"{chosen:,} long-tail queries of {sums.queries:,} in the log; left out: {reasons or 'none'}"
    )


if __name__ == "__main__":
    job(main)
