"""Labelling as work to disturb: looked at on storage, and compared with the same run undisturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.faults.campaign import Fault
from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.jobs import JobWork
from benchmarks.faults.labels import (
    StorageSnapshot,
    answer_parts,
    labelled,
    look,
    manifest_of,
    other_than,
    wrong_at_any_moment,
    wrong_at_the_end,
)
from benchmarks.faults.storage_places import Place
from benchmarks.faults.processes import ended, kill
from benchmarks.faults.victims import engine_actor, engine_core, engines, node_fault, node_of


class Labelling(JobWork):
    """calm: the same run undisturbed. queries: all that labelling takes in."""

    name, module = "labelling", "ray_jobs.label"

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, calm: StorageSnapshot, queries: set[str]
    ) -> None:
        super().__init__(cluster, settings, place)
        self._calm, self._queries = calm, queries
        self._engines: list[psutil.Process] = []
        driver = Fault("driver", self._kill_driver, self._look_for_engines)
        self.faults = [
            driver,
            node_fault("node of the engine", cluster, lambda: node_of(cluster, engine_actor(cluster))),
            Fault("engine's actor", lambda: self._kill(engine_actor), self._look_for_engines),
            driver,
            Fault("engine's core", lambda: self._kill(engine_core), self._look_for_engines),
            node_fault("another node", cluster, self._idle_node),
            *place.faults,
        ]
        self._left: list[str] = []

    def start(self) -> None:
        self._sight = StorageSnapshot()
        super().start()

    def mark(self) -> tuple[set[str], int]:
        return answer_parts(self.folder), labelled(self.folder)

    def moved(self, mark: object) -> bool:
        """New answers, and more labels: labels alone may be the last ones of an engine that is dead."""
        answers, rows = mark  # type: ignore[misc]
        return bool(answer_parts(self.folder) - answers) and labelled(self.folder) > rows

    def wrong_now(self) -> list[str]:
        before, self._sight = self._sight, look(self.folder)
        left, self._left = self._left, []
        return [*left, *wrong_at_any_moment(self._sight, before, self._queries)]

    def wrong_at_the_end(self) -> list[str]:
        sight = look(self.folder)
        return [*wrong_at_the_end(sight, self._queries, manifest_of(self.folder)), *other_than(self._calm, sight)]

    def _kill_driver(self) -> bool:
        self._engines = engines(self._cluster)
        return self.kill_driver()

    def _kill(self, find: Callable[[LocalCluster], psutil.Process | None]) -> bool:
        victim = find(self._cluster)
        if victim:
            self._engines = engines(self._cluster)
            kill(victim)
        return victim is not None

    def _look_for_engines(self) -> None:
        self._left += [f"a process of the engine outlived it: {process.pid}" for process in ended(self._engines)]

    def _idle_node(self) -> str | None:
        """A worker that the engine is not on."""
        node = node_of(self._cluster, engine_actor(self._cluster))
        return next((address for address in self._cluster.raylets() if node and address != node), None)
