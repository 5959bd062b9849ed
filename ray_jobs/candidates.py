"""From queries to candidate lists: BM25 and dense retrieval, fused by reciprocal rank.

    python -m ray_jobs.candidates configs/quickstart.yaml

Writes candidates/ for the selected queries of the log. Evaluation has the test queries' lists made, with
each retriever's list beside the fused one, in test/candidates/.
"""

from __future__ import annotations

from actors.rows import CandidateList, Split, TestLists
from ranking.records import Query
from ray_jobs import index, plan, select
from ray_jobs.run import Run, job


def main(run: Run) -> None:
    select.main(run)
    index.main(run)
    find_for_log(run)


def find_for_log(run: Run) -> None:
    """Retrieve and fuse candidates for every selected query."""
    _find(run, "log", "candidate lists")


def find_for_test(run: Run) -> None:
    """Retrieve for every test query, each first stage on its own and fused."""
    _find(run, "test", "test queries")


def _find(run: Run, split: Split, unit: str) -> None:
    stage = plan.candidates_stage(run, split)
    if run.skipped(stage):
        return
    run.start_ray()
    from actors.retrievers import CandidateRetriever, TestRetriever
    from actors.streaming import dataset_of, finish, forget_rejections, parts_of, through_actor, write_stages

    stage.begin()
    forget_rejections(stage)
    if split == "log":
        queries, rows, left = parts_of(run.folder / "queries", Query, without=stage.folder)
    else:
        queries, rows, left = dataset_of(run.collection.test, Query), len(run.collection.test), len(run.collection.test)
    retriever, row = (CandidateRetriever, CandidateList) if split == "log" else (TestRetriever, TestLists)
    arguments = (plan.index_stage(run).folder, plan.vectors_memory(run), run.settings.candidates)
    write_stages({split: stage}, through_actor(queries, retriever, arguments), row, left, run.progress, "queries")
    run.done(finish(stage, rows), unit)


if __name__ == "__main__":
    job(main)
