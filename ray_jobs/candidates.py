"""Retrieve candidate lists for queries and fuse them by reciprocal rank fusion, or import complete lists.

    python -m ray_jobs.candidates configs/quickstart.yaml

Writes candidates/ for the selected queries of the log. The evaluation job retrieves candidates for the test
queries, and writes each retriever's list and the fused list to test/candidates/.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ranking.engine_settings import EngineSettings
from ranking.records import CandidateList, Query, QueryCandidates, SplitName
from ranking.runs.stages import Stage
from ranking.settings import DenseSettings, ParquetRetrieverSettings, RunRetrieverSettings
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name
from ray_jobs import index, select
from ray_jobs.common import model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS

if TYPE_CHECKING:
    from ray.data import Dataset


READS = (*CANDIDATE_SETTINGS, "compute")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Select queries, index the documents, and retrieve candidates for the selected queries."""
    model_checks.check(run, ["candidates"])
    select.main(run)
    index.main(run)
    retrieve_for_log(run)


def retrieve_for_log(run: Run) -> None:
    """Retrieve candidates for the selected queries of the log."""
    _retrieve(run, "log", "candidate lists")


def retrieve_for_test(run: Run) -> None:
    """Retrieve candidates for the test queries, if there are any: each retriever's list and the fused list."""
    if run.collection.test:
        _retrieve(run, "test", "test queries")


def _retrieve(run: Run, split: SplitName, unit: str) -> None:
    """Write the candidate lists of a split.

    Args:
        run: The run.
        split: The queries to retrieve candidates for: `log` or `test`.
        unit: What the rows are, for the progress line.
    """
    stage = run.plan.candidates_of(split)
    if run.skip_if_finished(stage):
        return
    check_retrievers(run)
    run.start_ray()
    from actors.data.streaming import finish, forget_rejections, parts_of, write_stages

    stage.begin()
    forget_rejections(stage)
    queries = run.folder / "queries" if split == "log" else _test_queries(run)
    row = CandidateList if split == "log" else QueryCandidates
    makers = (_read_imported, _complete_imported) if run.settings.candidates.imported_lists else (_search,)
    for make_lists in makers:
        todo, rows, left = parts_of(queries, Query, without=stage)
        if left:
            write_stages({split: stage}, make_lists(run, split, stage, todo), row, left, run.progress, "queries")
    run.report_stage(finish(stage, rows), unit)
    if run.settings.candidates.engines:
        _report_incomplete(run, stage)


def _search(run: Run, split: SplitName, stage: Stage, queries: Dataset) -> Dataset:
    """Retrieve candidate lists for the queries."""
    from actors.data.streaming import through_actor
    from actors.retrieval.candidate_lists import CandidateRetriever, TestRetriever
    from actors.retrieval.engines import INCOMPLETE

    folders = (run.plan.index.folder, run.plan.embedding_cache)
    arguments = (*folders, run.settings.candidates, stage.folder / INCOMPLETE)
    return through_actor(queries, CandidateRetriever if split == "log" else TestRetriever, arguments)


def _report_incomplete(run: Run, stage: Stage) -> None:
    """Print how many documents and queries the lists of search engines lack."""
    import ray

    from actors.retrieval.engines import INCOMPLETE, incomplete_notes

    for note in ray.get(ray.remote(incomplete_notes).options(num_cpus=0.25).remote(stage.folder / INCOMPLETE)):
        run.progress.stage("note", note)


def _read_imported(run: Run, split: SplitName, stage: Stage, queries: Dataset) -> Dataset:
    """Read the imported candidate lists of all queries of a split."""
    from actors.data.streaming import ids_of, parts_of
    from actors.retrieval.candidate_lists import parquet_at, parquet_lists

    parquet = run.settings.candidates.imported_lists
    assert parquet
    folder, part = parquet_at(parquet.path)
    query_ids = ids_of(run.folder / ("queries" if split == "log" else "test/queries"))
    lists, _, _ = parts_of(folder, None, without=stage, only=query_ids, part=part)
    to_outcomes = partial(parquet_lists, split=split, settings=run.settings.candidates)
    return lists.map_batches(to_outcomes, batch_format="pyarrow", batch_size=None)


def _complete_imported(run: Run, split: SplitName, stage: Stage, queries: Dataset) -> Dataset:
    """Reject log queries that have no imported list; give test queries that have none an empty list."""
    from actors.retrieval.candidate_lists import without_lists

    to_outcomes = partial(without_lists, split=split, settings=run.settings.candidates)
    return queries.map_batches(to_outcomes, batch_format="pyarrow", batch_size=None)


def _test_queries(run: Run) -> Folder:
    """Write the test queries to a folder that workers can read, and return it."""
    folder = run.folder / "test/queries"
    folder.delete()
    folder.write_rows(part_name(query.query_id for query in run.collection.test), run.collection.test)
    return folder


def check_retrievers(run: Run) -> None:
    """Raise InputError if a retriever's files are missing or invalid, or it needs a package that is not installed."""
    from actors.retrieval.candidate_lists import check_parquet_lists
    from actors.retrieval.engines import check_engine
    from actors.retrieval.retrievers import check_faiss, check_run

    for retriever in run.settings.candidates.retrievers:
        if isinstance(retriever, RunRetrieverSettings):
            check_run(retriever, {document.doc_id for document in run.collection.documents}, run.collection.name)
        if isinstance(retriever, DenseSettings) and retriever.search == "faiss":
            check_faiss()
        if isinstance(retriever, ParquetRetrieverSettings):
            check_parquet_lists(retriever.path)
        if isinstance(retriever, EngineSettings):
            check_engine(retriever)


if __name__ == "__main__":
    job(main, READS)
