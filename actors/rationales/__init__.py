"""Rationales for labels: a language model's, or the passages' own sentences. One class a kind of the run file.

rationales/ holds ids and rationales alone, not the labels again: the texts stay in labels/, which is not touched, and a
rationale finds its candidate by query and document when students are trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.settings import ComputeSettings, ExtractiveRationaleSettings, LlmRationaleSettings
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset


class RationaleWriter(Protocol):
    """What every kind does."""

    def explain(self, labels: Dataset) -> Dataset:
        """Give rationales. labels: rows of Label. Returns rows of Outcome with a ReasonList, one for each label."""


def make_writer(
    settings: ExtractiveRationaleSettings | LlmRationaleSettings, compute: ComputeSettings, memory: Folder
) -> RationaleWriter:
    """Make the writer that the settings name. memory: folder for answers. Raises InputError for a model that cannot be read."""
    # imported by kind: sentences need no engine
    if isinstance(settings, LlmRationaleSettings):
        from actors.rationales.llm_writer import LlmWriter

        return LlmWriter(settings, compute, memory)
    from actors.rationales.extractive import ExtractiveWriter

    return ExtractiveWriter()
