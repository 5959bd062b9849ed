"""Select the queries of a log that are worth labelling: rare, long and complex ones.

    python -m ray_jobs.select configs/quickstart.yaml
    python -m ray_jobs.select configs/quickstart.yaml --queries.log s3://bucket/searches/ --queries.sample 7000
    python -m ray_jobs.select configs/quickstart.yaml --queries.log log.csv --preview   print what is read

Workers read the log, count the spelling variants of a query as one query, remove near-duplicates, then score and select
queries. Writes queries/ in the run's folder; excluded queries go to rejected/ with the reason. See docs/long_tail.md
for details.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ranking.collections.log_files import find_log
from ranking.collections.log_formats import describe_skipped
from ranking.collections.log_preview import describe, groups_of, notes_on, preview_log
from ranking.collections.log_rows import layouts_of
from ranking.errors import InputError
from ranking.languages import check_installed
from ranking.runs.stages import Stage
from ranking.selection.long_tail import Selection, keys_of_questions
from ray_jobs import generate
from ray_jobs.common.run import Run, job
from ray_jobs.selection.preview_table import counts_line, first_rows

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.query_log.long_tail_selection import Sums


READS = ("collection", "queries", "candidates", "compute")
"""Settings that this job reads."""

PREVIEW_ROWS = 10_000
"""Rows that a preview reads of the files with the same layout."""

SHOWN_ROWS = 5
"""Rows that a preview prints of the files with the same layout."""


def main(run: Run) -> None:
    """Select queries and write them. With `queries.generate`, generate them first."""
    generate.generate_queries(run)
    stage = run.plan.queries
    if run.skip_if_finished(stage):
        return
    check_installed(run.settings.collection.language)
    run.start_ray()
    counted = count_log(run)
    sums = check_sums(run, counted)
    stage.begin()
    counts = select(run, stage, counted, sums)
    finish(run, stage, sums, counts)


def show_preview(run: Run) -> None:
    """Print what is understood of `queries.log`: columns, first rows, counts. Starts no Ray and selects nothing.

    Raises:
        InputError: If `queries.log` is not set or cannot be read, or one of the first rows is malformed.
    """
    settings = run.settings.queries
    if settings.log is None:
        raise InputError("preview: set queries.log; without it, the log is the queries of the collection")
    files = find_log(settings.log)
    layouts = layouts_of(files, settings)
    for preview in preview_log(files, layouts, settings, PREVIEW_ROWS, SHOWN_ROWS):
        run.progress.stage("log", describe(preview.layout, preview.files, settings))
        if preview.rows:
            run.progress.console.print(first_rows(preview))
        run.progress.stage("", counts_line(preview))
    for note in notes_on(layouts):
        run.progress.stage("", note)


def count_log(run: Run) -> Dataset:
    """Count the distinct queries of `queries.log`, or of the collection's log. The result remains on the workers."""
    from actors.query_log.counting import count, forms_of_files, forms_of_queries

    settings, language = run.settings.queries, run.settings.collection.language
    if settings.log is None:
        forms, partitions = forms_of_queries(run.collection.log, language)
    else:
        files = find_log(settings.log)
        layouts = layouts_of(files, settings)
        for layout, group in groups_of(files, layouts):
            run.progress.stage("log", describe(layout, group, settings))
        for note in notes_on(layouts):
            run.progress.stage("", note)
        forms, partitions = forms_of_files(files, layouts, settings, language)
    counted: Dataset = count(forms, partitions, language).materialize()
    return counted


def check_sums(run: Run, counted: Dataset) -> Sums:
    """Compute the totals of the counted log, and check that the log is usable.

    Raises:
        InputError: If the log is malformed or empty.
    """
    from actors.query_log.long_tail_selection import sums_of

    name = run.settings.queries.log or f"of {run.collection.name}"
    sums = sums_of(counted)
    if sums.problem is not None:
        raise InputError(sums.problem)
    skipped = describe_skipped(Counter({count.kind: count.rows for count in sums.skipped}))
    if not sums.queries:
        hint = "" if run.settings.queries.log else "; set queries.log, or queries.generate to generate queries"
        raise InputError(f"queries.log {name}: {no_queries(skipped)}{hint}")
    if skipped:
        run.progress.stage("", f"skipped: {skipped}")
    return sums


def no_queries(skipped: str) -> str:
    """Return the error message for a log without queries, given the list of its skipped rows."""
    if not skipped:
        return "the query log is empty"
    return f"no row has a query; skipped: {skipped}; set queries.columns.text or queries.format, and see --preview"


def select(run: Run, stage: Stage, counted: Dataset, sums: Sums) -> Counter[str]:
    """Select queries and write them.

    Returns:
        The number of selected queries, and of excluded queries by kind of reason.
    """
    from actors.data.streaming import forget_rejections
    from actors.query_log.long_tail_selection import max_sampling_key, write_selection

    settings, language = run.settings.queries, run.settings.collection.language
    forget_rejections(stage)
    tested = keys_of_questions([query.text for query in run.collection.test], language)
    selection = Selection(settings, sums.searches, tested, language=language)
    if settings.sample is not None:
        selection = replace(selection, max_sampling_key=max_sampling_key(counted, selection, settings.sample))
    return write_selection(counted, selection, stage)


def finish(run: Run, stage: Stage, sums: Sums, counts: Counter[str]) -> None:
    """Check that every distinct query is selected or excluded, finish the stage, and print the counts.

    Raises:
        InputError: If no query is selected.
    """
    from actors.query_log.long_tail_selection import SELECTED

    selected, excluded = counts.pop(SELECTED, 0), counts.total()
    reasons = ", ".join(f"{rows:,} {kind}" for kind, rows in counts.most_common())
    if not selected:
        raise InputError(
            f"queries: none of the {sums.queries:,} queries of the log is long-tail ({reasons}); "
            "relax queries.long_tail"
        )
    if selected + excluded != sums.queries:
        raise RuntimeError(f"stage queries: {sums.queries} queries in, but {selected} selected and {excluded} excluded")
    stage.finish(rows_in=sums.queries, rows_out=selected, rejected=excluded)
    run.progress.stage(
        "queries", f"{selected:,} long-tail queries of {sums.queries:,} in the log; excluded: {reasons or 'none'}"
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this job has."""
    parser.add_argument(
        "--preview", action="store_true", help="Print columns, first rows and counts of queries.log; select nothing."
    )


if __name__ == "__main__":
    job(main, READS, add_options=add_options, action_of=lambda options: show_preview if options.preview else main)
