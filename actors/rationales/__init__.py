"""Rationales for labels, written by a language model or extracted from the passages.

Each value of `rationales.kind` in the run file has its own class. The stage folder rationales/ contains only ids and
rationales. The labels stay unchanged; training joins rationales to candidates by query and document id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.compute_settings import ComputeSettings
from actors.rationales.rationale_settings import (
    ExtractiveRationaleSettings,
    LlmRationaleSettings,
    ThinkingRationaleSettings,
)
from ranking.hosted_settings import is_hosted
from ranking.languages import ENGLISH
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset


class RationaleWriter(Protocol):
    """Interface of all rationale writers."""

    def explain(self, labels: Dataset) -> Dataset:
        """Write rationales for labels.

        Args:
            labels: Rows of Label.

        Returns:
            Rows of Outcome[RationaleList], one per label.
        """


def make_writer(
    settings: ExtractiveRationaleSettings | LlmRationaleSettings | ThinkingRationaleSettings,
    compute: ComputeSettings,
    cache: Folder,
    language: str = ENGLISH,
) -> RationaleWriter:
    """Make the rationale writer that the settings describe.

    Args:
        settings: Rationale settings.
        compute: Compute settings.
        cache: Folder of the response cache.
        language: Language of the collection, for extraction.

    Raises:
        InputError: The model is missing or malformed.
    """
    # import only the class in use: extraction does not need vLLM
    if isinstance(settings, LlmRationaleSettings) and is_hosted(settings):
        from actors.rationales.hosted_writer import HostedWriter

        return HostedWriter(settings, cache)
    if isinstance(settings, LlmRationaleSettings):
        from actors.rationales.llm_writer import LlmWriter

        return LlmWriter(settings, compute, cache)
    if isinstance(settings, ThinkingRationaleSettings):
        from actors.rationales.thinking_writer import ThinkingWriter

        return ThinkingWriter()
    from actors.rationales.extractive import ExtractiveWriter

    return ExtractiveWriter(language)
