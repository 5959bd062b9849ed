"""Labelling as work to inject faults into. Its storage is checked, and compared with the same run without faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.faults.campaign import Fault
from benchmarks.faults.job_work import JobWork
from benchmarks.faults.labelling_invariants import (
    StorageSnapshot,
    answer_parts,
    count_labels,
    differences,
    manifest_of,
    take_snapshot,
    violations_at_any_time,
    violations_at_end,
)
from benchmarks.faults.storage_places import Place
from benchmarks.faults.victims import engine_actor, engine_core, engines, node_fault
from tools.local_cluster.nodes import LocalCluster, node_of
from tools.local_cluster.processes import kill, survivors


class LabellingWork(JobWork):
    """Labelling of a query log.

    Args:
        cluster: Cluster to run on.
        settings: Run file.
        place: Storage place for the runs.
        undisturbed: Final snapshot of the same run without faults.
        queries: IDs of all input queries.
    """

    name, module = "labelling", "ray_jobs.label"

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, undisturbed: StorageSnapshot, queries: set[str]
    ) -> None:
        super().__init__(cluster, settings, place)
        self._undisturbed, self._queries = undisturbed, queries
        self._engines: list[psutil.Process] = []
        driver = Fault("driver", self._kill_driver, self._check_engines)
        self.faults = [
            driver,
            node_fault("node of the engine", cluster, lambda: node_of(cluster, engine_actor(cluster))),
            Fault("engine's actor", lambda: self._kill(engine_actor), self._check_engines),
            driver,
            Fault("engine's core", lambda: self._kill(engine_core), self._check_engines),
            node_fault("another node", cluster, self._idle_node),
            *place.faults,
        ]
        self._orphans: list[str] = []

    def start(self) -> None:
        """Start a new run."""
        self._snapshot = StorageSnapshot()
        super().start()

    def mark_progress(self) -> tuple[set[str], int]:
        """Return the parts of the response cache and the number of labels."""
        return answer_parts(self.folder), count_labels(self.folder)

    def has_progressed(self, mark: object) -> bool:
        """Return whether there are new answers and new labels. New labels alone can be from an engine that is dead."""
        answers, rows = mark  # type: ignore[misc]
        return bool(answer_parts(self.folder) - answers) and count_labels(self.folder) > rows

    def violations(self) -> list[str]:
        """Check storage, and that no process of a killed engine still runs."""
        before, self._snapshot = self._snapshot, take_snapshot(self.folder)
        orphans, self._orphans = self._orphans, []
        return [*orphans, *violations_at_any_time(self._snapshot, before, self._queries)]

    def final_violations(self) -> list[str]:
        """Check the complete run, and compare it with the undisturbed one."""
        snapshot = take_snapshot(self.folder)
        return [
            *violations_at_end(snapshot, self._queries, manifest_of(self.folder)),
            *differences(self._undisturbed, snapshot),
        ]

    def _kill_driver(self) -> bool:
        self._engines = engines(self._cluster)
        return self.kill_driver()

    def _kill(self, find: Callable[[LocalCluster], psutil.Process | None]) -> bool:
        victim = find(self._cluster)
        if victim:
            self._engines = engines(self._cluster)
            kill(victim)
        return victim is not None

    def _check_engines(self) -> None:
        self._orphans += [f"orphan process of a killed engine: {process.pid}" for process in survivors(self._engines)]

    def _idle_node(self) -> str | None:
        """Return the address of a worker node without the engine; None if there is none."""
        node = node_of(self._cluster, engine_actor(self._cluster))
        return next((address for address in self._cluster.raylets() if node and address != node), None)
