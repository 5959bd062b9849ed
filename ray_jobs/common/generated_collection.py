"""The collection of a run whose queries are generated from documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ranking.collections.collection import Collection
from ranking.collections.generated import with_generated_queries
from ranking.errors import InputError
from ranking.records import GeneratedQuery
from ranking.settings import CollectionSettings, ParquetRetrieverSettings, RunRetrieverSettings
from ray_jobs.common.run_settings import RunSettings

if TYPE_CHECKING:
    from ray_jobs.common.run import Run


def used_collection(settings: RunSettings) -> CollectionSettings:
    """Return the settings of the collection. With generated queries, all judged queries are for testing."""
    collection = settings.collection
    if settings.queries.generate is not None and collection.use == "both":
        return collection.model_copy(update={"use": "test"})
    return collection


def read_generated(run: Run) -> Collection:
    """Read the generated queries, print their number, and return the collection with them.

    Raises:
        InputError: If the queries are not generated yet.
    """
    plan = run.plan.generation
    folder = plan.queries.finished()
    if folder is None:
        raise InputError(
            f"{plan.queries.folder.uri}: the queries are not generated with these settings; run ray_jobs.generate or "
            "ray_jobs.pipeline first"
        )
    collection = with_generated_queries(
        run.source, folder.read_rows(GeneratedQuery), plan.collection_fingerprint, plan.generator.round_trip_depth
    )
    tested = len(collection.test)
    origin = "generated" if collection.generated and collection.generated.test else "judged"
    run.progress.stage("generated", f"{len(collection.log):,} queries to label, {tested:,} {origin} test queries")
    return collection


def check_generation(settings: RunSettings, where: str) -> None:
    """Check that generated queries can be used with the other settings.

    Args:
        settings: Settings of the run.
        where: Prefix of the error message.

    Raises:
        InputError: If they cannot.
    """
    if settings.queries.generate is None:
        return
    if settings.training.labels:
        raise InputError(
            f"{where}: setting 'queries.generate': with training.labels, students learn from the labels of other runs; "
            "remove one of the two"
        )
    for retriever in settings.candidates.retrievers:
        if isinstance(retriever, RunRetrieverSettings | ParquetRetrieverSettings):
            raise InputError(
                f"{where}: setting 'candidates.retrievers': {retriever.list_name!r} has lists of other queries; "
                "generated queries need retrievers that search, such as bm25 and dense"
            )
