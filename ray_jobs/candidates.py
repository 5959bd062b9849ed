"""From queries to candidate lists: BM25 and dense retrieval, fused by reciprocal rank.

    python -m ray_jobs.candidates configs/quickstart.yaml

Writes candidates/ for the selected queries of the log. Evaluation has the test queries' lists made, with
each retriever's list beside the fused one, in test/candidates/.
"""

from __future__ import annotations

from typing import Any

from ranking.records import Query
from ray_jobs import index, plan, select
from ray_jobs.run import Run, job


def main(run: Run) -> None:
    select.main(run)
    index.main(run)
    find_for_log(run)


def find_for_log(run: Run) -> None:
    """Retrieve and fuse candidates for every selected query."""
    from actors.rows import CandidateList

    stage = plan.candidates_stage(run)
    if run.skipped(stage):
        return
    run.start_ray()
    from actors.retrievers import CandidateRetriever
    from actors.streaming import dataset_of, finish, not_done, through_actor, write_stages

    stage.begin()
    queries = list((run.folder / "queries").read_rows(Query))
    todo = not_done(stage, queries)
    outcomes = through_actor(dataset_of(todo, Query), CandidateRetriever, _arguments(run))
    write_stages({"log": stage}, outcomes, CandidateList, len(todo), run.progress, "queries")
    run.done(finish(stage, len(queries)), "candidate lists")


def find_for_test(run: Run) -> None:
    """Retrieve for every test query, each first stage on its own and fused."""
    from actors.rows import TestLists

    stage = plan.candidates_stage(run, "test")
    if run.skipped(stage):
        return
    run.start_ray()
    from actors.retrievers import TestRetriever
    from actors.streaming import dataset_of, finish, not_done, through_actor, write_stages

    stage.begin()
    queries = run.collection.test
    todo = not_done(stage, queries)
    outcomes = through_actor(dataset_of(todo, Query), TestRetriever, _arguments(run))
    write_stages({"test": stage}, outcomes, TestLists, len(todo), run.progress, "queries")
    run.done(finish(stage, len(queries)), "test queries")


def _arguments(run: Run) -> tuple[Any, ...]:
    return plan.index_stage(run).folder, plan.vectors_memory(run), run.settings.candidates


if __name__ == "__main__":
    job(main)
