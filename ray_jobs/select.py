"""From a query log to the queries worth labelling: the rare and long ones.

    python -m ray_jobs.select configs/quickstart.yaml

Writes queries/ of the run's folder; the queries left out go to rejected/ with the reason.
"""

from __future__ import annotations

from ranking.errors import InputError
from ranking.labelling import long_tail
from ranking.stages import REJECTED
from ranking.storage import part_name
from ray_jobs import plan
from ray_jobs.run import Run, job


def main(run: Run) -> None:
    stage = plan.queries_stage(run)
    if run.skipped(stage):
        return
    log = plan.read_log(run)
    chosen, left = long_tail.select(log, run.settings.queries)
    if not chosen:
        raise InputError(f"queries: none of the {len(log):,} queries of the log is long-tail; loosen queries.long_tail")
    stage.begin()
    stage.folder.write_rows(part_name(query.query_id for query in chosen), chosen)
    if left:
        (run.folder / REJECTED).write_rows(stage.rejected_prefix + part_name(rejection.query_id for rejection in left), left)
    stage.finish(rows_in=len(log), rows_out=len(chosen), rejected=len(left))
    run.progress.stage("queries", f"{len(chosen):,} long-tail queries of {len(log):,} in the log")


if __name__ == "__main__":
    job(main)
