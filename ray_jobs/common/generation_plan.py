"""The stages that generate queries from documents.

collection ─ generated/answers ─ generated/round_trip ─ generated/queries
     └────── index ────────────────────┘

The stages after them read the generated queries in the place of the query log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from actors.generators.generator_settings import LlmGenerationSettings
from ranking.collections.collection import Collection
from ranking.generation.generation_settings import GenerationSettings
from ranking.runs.stages import Stage, fingerprint_of
from ranking.storage.folder import Folder
from ray_jobs.common.identities import generator_identity
from ray_jobs.common.run_settings import RunSettings


class GenerationPlan:
    """The stages of generation in one run. Each stage object is created on first use.

    Args:
        settings: Settings of the run, with `queries.generate`.
        folder: The run's folder.
        source: Function that reads the collection without generated queries.
        index: Function that returns the stage that indexes the documents.
    """

    def __init__(
        self, settings: RunSettings, folder: Folder, source: Callable[[], Collection], index: Callable[[], Stage]
    ) -> None:
        assert settings.queries.generate is not None
        self._settings, self._folder, self._source, self._index = settings, folder, source, index
        self.generator: GenerationSettings = settings.queries.generate

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that determines the answers of the generator."""
        assert self._settings.queries.generate is not None
        return generator_identity(self._settings.queries.generate, self._settings.collection.language)

    @property
    def passages(self) -> Folder:
        """Folder of the sampled documents."""
        return self._folder / "generated/passages"

    @cached_property
    def answers(self) -> Stage:
        """The stage that writes queries for the sampled documents."""
        settings = self.identity | self.generator.writing_limits() | {"seed": self._settings.queries.seed}
        return Stage(self._folder, "generated/answers", settings, [self._source().fingerprint])

    @cached_property
    def round_trip(self) -> Stage:
        """The stage that searches the written queries."""
        settings = {"depth": self.generator.round_trip_depth, "candidates": self._settings.candidates.identity()}
        inputs = [self.answers.fingerprint, self._index().fingerprint]
        return Stage(self._folder, "generated/round_trip", settings, inputs)

    @property
    def checked(self) -> Stage:
        """The last stage before near-duplicates are dropped."""
        return self.answers if self.generator.round_trip_depth is None else self.round_trip

    @property
    def test_fraction(self) -> float:
        """Share of the documents whose queries are test queries. 0 if the collection has test queries."""
        return 0.0 if self._source().test else self.generator.test_fraction

    @cached_property
    def queries(self) -> Stage:
        """The stage that drops near-duplicates and splits the queries by document."""
        settings = {"test_fraction": self.test_fraction, "seed": self._settings.queries.seed}
        return Stage(self._folder, "generated/queries", settings, [self.checked.fingerprint])

    @property
    def collection_fingerprint(self) -> str:
        """Fingerprint of the collection with the generated queries."""
        return fingerprint_of(self._source().fingerprint, self.queries.fingerprint)

    @property
    def cache(self) -> Folder:
        """Response cache of the generator. Each model and prompt has its own folder."""
        identity = self.identity | {"queries": self.generator.queries_per_document}
        return self._folder / "generator" / fingerprint_of(identity)

    @property
    def writes(self) -> bool:
        """Whether a language model has to write queries: there is one, and its stage is not finished."""
        return isinstance(self.generator, LlmGenerationSettings) and self.answers.finished() is None
