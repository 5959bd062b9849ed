"""From queries to candidate lists: retrieval fused by reciprocal rank, or lists that arrive whole.

    python -m ray_jobs.candidates configs/quickstart.yaml

Writes candidates/ for the selected queries of the log. Evaluation has the test queries' lists made, with
each retriever's list beside the fused one, in test/candidates/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.data.rows import CandidateList, QueryCandidates, SplitName
from ranking.records import Query
from ranking.runs.stages import Stage
from ranking.settings import DenseSettings, ParquetRetrieverSettings, RunRetrieverSettings
from ranking.storage.folder import Folder, part_name
from ray_jobs import index, select
from ray_jobs.common import plan
from ray_jobs.common.run import Run, job

if TYPE_CHECKING:
    from ray.data import Dataset


def main(run: Run) -> None:
    select.main(run)
    index.main(run)
    find_for_log(run)


def find_for_log(run: Run) -> None:
    """Find candidates for every selected query."""
    _find(run, "log", "candidate lists")


def find_for_test(run: Run) -> None:
    """Find for every test query, if there are any, each first stage on its own and fused."""
    if run.collection.test:
        _find(run, "test", "test queries")


def _find(run: Run, split: SplitName, unit: str) -> None:
    stage = plan.candidates_stage(run, split)
    if run.skipped(stage):
        return
    _check(run)
    run.start_ray()
    from actors.data.streaming import finish, forget_rejections, parts_of, write_stages

    stage.begin()
    forget_rejections(stage)
    queries = run.folder / "queries" if split == "log" else _test_queries(run)
    row = CandidateList if split == "log" else QueryCandidates
    for find in (_given, _not_given) if run.settings.candidates.given else (_retrieved,):
        todo, rows, left = parts_of(queries, Query, without=stage)
        if left:
            write_stages({split: stage}, find(run, split, stage, todo), row, left, run.progress, "queries")
    run.done(finish(stage, rows), unit)


def _retrieved(run: Run, split: SplitName, stage: Stage, queries: Dataset) -> Dataset:
    from actors.data.streaming import through_actor
    from actors.retrieval.candidate_lists import CandidateRetriever, TestRetriever

    arguments = (plan.index_stage(run).folder, plan.embedding_cache(run), run.settings.candidates)
    return through_actor(queries, CandidateRetriever if split == "log" else TestRetriever, arguments)


def _given(run: Run, split: SplitName, stage: Stage, queries: Dataset) -> Dataset:
    """The lists that arrived, of the queries that are wanted."""
    from actors.data.streaming import ids_of, parts_of
    from actors.retrieval.candidate_lists import given_lists, parquet_at

    given = run.settings.candidates.given
    assert given
    folder, part = parquet_at(given.path)
    wanted = ids_of(run.folder / ("queries" if split == "log" else "test/queries"))
    lists, _, _ = parts_of(folder, None, without=stage, only=wanted, part=part)
    return lists.map_batches(
        given_lists, fn_args=(split, run.settings.candidates), batch_format="pyarrow", batch_size=None
    )


def _not_given(run: Run, split: SplitName, stage: Stage, queries: Dataset) -> Dataset:
    """The queries that are left after all lists that arrived."""
    from actors.retrieval.candidate_lists import without_lists

    return queries.map_batches(
        without_lists, fn_args=(split, run.settings.candidates), batch_format="pyarrow", batch_size=None
    )


def _test_queries(run: Run) -> Folder:
    """Write the test queries, for workers to read; returns their folder."""
    folder = run.folder / "test/queries"
    folder.delete()
    folder.write_rows(part_name(query.query_id for query in run.collection.test), run.collection.test)
    return folder


def _check(run: Run) -> None:
    """Raise InputError for a first stage that cannot be used."""
    from actors.retrieval.candidate_lists import check_given
    from actors.retrieval.retrievers import check_faiss, check_run

    for retriever in run.settings.candidates.retrievers:
        if isinstance(retriever, RunRetrieverSettings):
            check_run(retriever, {document.doc_id for document in run.collection.documents}, run.collection.name)
        if isinstance(retriever, DenseSettings) and retriever.search == "faiss":
            check_faiss()
        if isinstance(retriever, ParquetRetrieverSettings):
            check_given(retriever.path)


if __name__ == "__main__":
    job(main)
