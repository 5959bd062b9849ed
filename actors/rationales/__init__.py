"""Reasons for labels: a language model's, or the passages' own sentences. One class a kind of the run file.

reasons/ holds ids and reasons alone, not the labels again: the texts stay in labels/, which is not touched, and a
reason finds its candidate by query and document when students are trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.settings import ComputeSettings, ExtractiveReasonSettings, LlmReasonSettings
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset


class ReasonWriter(Protocol):
    """What every kind does."""

    def explain(self, labels: Dataset) -> Dataset:
        """Give reasons. labels: rows of Label. Returns rows of Outcome with a ReasonList, one for each label."""


def make_writer(settings: ExtractiveReasonSettings | LlmReasonSettings, compute: ComputeSettings, memory: Folder) -> ReasonWriter:
    """Make the writer that the settings name. memory: folder for answers. Raises InputError for a model that cannot be read."""
    # imported by kind: sentences need no engine
    if isinstance(settings, LlmReasonSettings):
        from actors.rationales.llm_writer import LlmWriter

        return LlmWriter(settings, compute, memory)
    from actors.rationales.extractive import ExtractiveWriter

    return ExtractiveWriter()
