"""From a query log to labels: select long-tail queries, retrieve candidates, pre-rank them, ask the teacher.

    python -m ray_jobs.label configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.label configs/quickstart.yaml

Writes queries/, index/, candidates/, labels/ and rejected/ of the run's folder. A stage that is done with
the same settings is skipped; one that was cut off goes on where it stopped.
"""

from __future__ import annotations

from ranking.errors import InputError
from ranking.labelling import long_tail
from ranking.records import Label, Query
from ranking.stages import REJECTED, Manifest
from ranking.storage import part_name
from ray_jobs import index, plan
from ray_jobs.run import Run, job


def main(run: Run) -> None:
    select_queries(run)
    index.main(run)
    find_candidates(run)
    ask_teacher(run)


def select_queries(run: Run) -> None:
    """Select the long-tail queries of the log; the others go to rejected/ with the reason."""
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


def find_candidates(run: Run) -> None:
    """Retrieve and fuse candidates for every selected query."""
    stage = plan.candidates_stage(run)
    if run.skipped(stage):
        return
    run.start_ray()
    from actors.retrievers import CandidateRetriever
    from actors.rows import CandidateList
    from actors.streaming import dataset_of, finish, not_done, through_actor, write_stage

    stage.begin()
    queries = list((run.folder / "queries").read_rows(Query))
    todo = not_done(stage, queries)
    index_folder = plan.index_stage(run).folder
    outcomes = through_actor(dataset_of(todo, Query), CandidateRetriever, (index_folder, run.settings.candidates))
    counts = write_stage(stage, outcomes, CandidateList, len(queries), len(todo), run.progress, "queries")
    _done(run, finish(stage, counts), "candidate lists")


def ask_teacher(run: Run) -> None:
    """Pre-rank every candidate list and have the teacher rank its head and tail."""
    stage = plan.labels_stage(run)
    if run.skipped(stage):
        return
    run.start_ray()
    from actors.pre_ranker import PreRanker
    from actors.rows import CandidateList
    from actors.streaming import dataset_of, finish, not_done, through_actor, write_stage
    from actors.teachers import make_teacher

    teacher = make_teacher(run.settings.teacher, run.settings.compute, stage.fingerprint, plan.teacher_memory(run))
    stage.begin()
    lists = list((run.folder / "candidates").read_rows(CandidateList))
    todo = not_done(stage, lists)
    index_folder = plan.index_stage(run).folder
    picked = through_actor(dataset_of(todo, CandidateList), PreRanker, (index_folder, run.settings.pre_ranker))
    counts = write_stage(stage, teacher.label(picked, run.progress), Label, len(lists), len(todo), run.progress, "queries")
    _done(run, finish(stage, counts, teacher.tokens), "labels", f", the teacher read {teacher.tokens:,} tokens")


def _done(run: Run, manifest: Manifest, unit: str, more: str = "") -> None:
    rate = manifest.rows_out / max(manifest.seconds, 1e-9)
    rejected = f", {manifest.rejected:,} rejected" if manifest.rejected else ""
    run.progress.stage(manifest.stage, f"{manifest.rows_out:,} {unit}{rejected} in {manifest.seconds:.0f} s ({rate:.1f}/s){more}")


if __name__ == "__main__":
    job(main)
