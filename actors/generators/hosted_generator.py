"""Have a hosted model write queries for documents.

Documents whose queries cannot be requested in this job are left out, and the job ends when all others are done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.data.rows import Outcome, records, table_of
from actors.generators.generator_settings import LlmGenerationSettings
from actors.generators.query_requests import ChatFiller, QueryWriter, answer_schema
from actors.hosted.chat_requests import JSON_SCHEMA
from actors.hosted.deferral import gather_present
from actors.hosted.hosted_source import MAX_UNWRITTEN_SECONDS, Answers, HostedSource
from actors.vllm.engine_actor import through_engines
from actors.vllm.response_cache import ResponseCache
from ranking.records import DocumentQueries, SourcePassage
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

SETTING = "queries.generate.hosted"


class HostedGenerator:
    """Generator that asks a hosted model.

    Args:
        settings: Settings of the generator.
        cache: Folder of the response cache.
        language: Language of the collection.

    Raises:
        InputError: The variable with the API key is not set.
    """

    def __init__(self, settings: LlmGenerationSettings, cache: Folder, language: str) -> None:
        assert settings.hosted is not None
        self.settings, self.cache, self.language = settings, cache, language
        self.source = HostedSource(settings.backend, settings.hosted, SETTING, cache)

    def write(self, passages: Dataset) -> Dataset:
        """Write queries. Maps rows of SourcePassage to rows of Outcome[DocumentQueries], without deferred documents."""
        arguments = (self.settings, self.cache, self.language, self.source.worker_arguments())
        return through_engines(passages, HostedGeneratorActor, arguments, self.source.pool)


class HostedGeneratorActor:
    """Ray Data actor that writes queries with a hosted model, for many documents concurrently."""

    def __init__(self, settings: LlmGenerationSettings, cache: Folder, language: str, source: tuple[Any, ...]) -> None:
        self.cache = ResponseCache(cache, MAX_UNWRITTEN_SECONDS)
        self.answers = Answers(settings.model, *source)
        schema = {JSON_SCHEMA: {"name": "queries", "schema": answer_schema(settings)}}
        filler = ChatFiller(settings, language)
        self.writer = QueryWriter(settings, filler, self.cache, self.answers.generate, schema)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the queries of a batch with rows of SourcePassage. Returns rows of Outcome[DocumentQueries]."""
        outcomes, error = await gather_present(
            self.writer.outcome(passage) for passage in records(batch, SourcePassage)
        )
        await self.cache.write()
        await self.answers.flush()
        if error is not None:
            raise error
        return table_of(outcomes, Outcome[DocumentQueries])
