"""Training as work to disturb: it never goes back behind a checkpoint, and ends with the undisturbed model."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.faults.campaign import Fault
from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.jobs import JobWork
from benchmarks.faults.storage_places import Place
from benchmarks.faults.processes import called
from benchmarks.faults.victims import node_fault, node_of, process_fault
from ranking.storage.folder import Folder
from students.scoring import Scorer

_STUDENT = "students/student"
_SNAPSHOT = "checkpoint_manager_snapshot.json"
_WORKER = "TrainWorker"
_APART = 0.05
"""Of the spread of scores: workers that come and go add up gradients in another order."""

PAIRS = [
    (query, text)
    for query in ("amber basin", "north quartz")
    for text in ("amber ridge", "quartz ridge", "north marsh", "thorn")
]


class Training(JobWork):
    """labelled: a run with labels. calm: scores of the student of an undisturbed training, of PAIRS."""

    name, module = "training", "ray_jobs.train"

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, labelled: Folder, calm: list[float]
    ) -> None:
        super().__init__(cluster, settings, place)
        self._labelled, self._calm = labelled, calm
        driver = Fault("driver", self.kill_driver)
        worker = process_fault("worker", cluster, _WORKER)
        node = node_fault(
            "node of a worker", cluster, lambda: node_of(cluster, next(iter(called(cluster.mark, _WORKER)), None))
        )
        self.faults = [
            driver,
            worker,
            node,
            driver,
            worker,
            process_fault("controller", cluster, "TrainController"),
            *place.faults,
        ]

    def start(self) -> None:
        self._step = 0
        self._runs += 1
        self._labelled.copy_to(self.folder)
        self._call()

    def mark(self) -> int:
        return self._newest()

    def moved(self, mark: object) -> bool:
        return self._newest() > int(str(mark))

    def wrong_now(self) -> list[str]:
        before, self._step = self._step, self._newest()
        return [f"the newest checkpoint is of step {self._step}, and was of {before}"] if self._step < before else []

    def wrong_at_the_end(self) -> list[str]:
        found = scores_of(self.folder)
        spread = max(self._calm) - min(self._calm)
        apart = max(abs(one - other) for one, other in zip(found, self._calm, strict=True)) / spread
        return (
            [f"scores differ by {apart:.3f} of their spread from the undisturbed student's"]
            if not apart <= _APART
            else []
        )

    def _newest(self) -> int:
        """The step of the newest checkpoint that the snapshot names; 0 without one. Raises AssertionError for one that is not there."""
        place = self.folder / _STUDENT / "checkpoints"
        if not place.exists(_SNAPSHOT):
            return 0
        latest = json.loads(place.read_text(_SNAPSHOT))["latest_checkpoint_result"]
        return int(latest["metrics"]["step"]) if latest else 0


def scores_of(run: Folder) -> list[float]:
    """The scores that a run's student gives PAIRS."""
    with tempfile.TemporaryDirectory() as local:
        (run / _STUDENT / "model").copy_to(Folder(local) / "model")
        return Scorer(Path(local) / "model").score(PAIRS)
