"""Generators of queries: language models that write queries for documents, and the round-trip filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.compute_settings import ComputeSettings
from actors.generators.generator_settings import LlmGenerationSettings
from ranking.hosted_settings import is_hosted
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset


class QueryGenerator(Protocol):
    """Interface of the language models that write queries."""

    def write(self, passages: Dataset) -> Dataset:
        """Write queries for documents.

        Args:
            passages: Rows of SourcePassage.

        Returns:
            Rows of Outcome[DocumentQueries], one per document.
        """


def make_generator(
    settings: LlmGenerationSettings, compute: ComputeSettings, cache: Folder, language: str
) -> QueryGenerator:
    """Make the generator that the settings describe.

    Args:
        settings: Settings of the generator.
        compute: Compute settings.
        cache: Folder of the response cache.
        language: Language of the collection.

    Raises:
        InputError: The model is missing or malformed, or the variable with the API key is not set.
    """
    # import only the class in use: a hosted model does not need vLLM
    if is_hosted(settings):
        from actors.generators.hosted_generator import HostedGenerator

        return HostedGenerator(settings, cache, language)
    from actors.generators.vllm_generator import VllmGenerator

    return VllmGenerator(settings, compute, cache, language)
