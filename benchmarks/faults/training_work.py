"""Training as work to inject faults into. Checks its checkpoints and compares the student with an undisturbed one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.faults.campaign import Fault
from benchmarks.faults.job_work import JobWork
from benchmarks.faults.storage_places import Place
from benchmarks.faults.victims import node_fault, process_fault
from ranking.storage.folder import Folder
from students.scoring import Scorer
from tools.local_cluster.nodes import LocalCluster, node_of
from tools.local_cluster.processes import find_processes

_STUDENT = "students/student"
_SNAPSHOT = "checkpoint_manager_snapshot.json"
_WORKER = "TrainWorker"
_MAX_DIFFERENCE = 0.05
"""Maximum score difference, relative to the spread of the scores. Elastic workers sum gradients in different orders."""

PAIRS = [
    (query, text)
    for query in ("amber basin", "north quartz")
    for text in ("amber ridge", "quartz ridge", "north marsh", "thorn")
]


class TrainingWork(JobWork):
    """Elastic training of one student.

    Args:
        cluster: Cluster to run on.
        settings: Run file.
        place: Storage place for the runs.
        labelled: Folder of a run with labels.
        expected_scores: Scores of PAIRS by the student of the same training without faults.
    """

    name, module = "training", "ray_jobs.train"

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, labelled: Folder, expected_scores: list[float]
    ) -> None:
        super().__init__(cluster, settings, place)
        self._labelled, self._expected_scores = labelled, expected_scores
        driver = Fault("driver", self.kill_driver)
        worker = process_fault("worker", cluster, _WORKER)
        node = node_fault(
            "node of a worker",
            cluster,
            lambda: node_of(cluster, next(iter(find_processes(cluster.mark, _WORKER)), None)),
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
        """Start a new run with a copy of the labels."""
        self._step = 0
        self._runs += 1
        self._labelled.copy_to(self.folder)
        self._start_driver()

    def mark_progress(self) -> int:
        """Return the step of the latest checkpoint."""
        return self._latest_step()

    def has_progressed(self, mark: object) -> bool:
        """Return whether there is a newer checkpoint."""
        return self._latest_step() > int(str(mark))

    def violations(self) -> list[str]:
        """Check that the latest checkpoint is not older than at the previous check."""
        before, self._step = self._step, self._latest_step()
        return [f"latest checkpoint went back from step {before} to step {self._step}"] if self._step < before else []

    def final_violations(self) -> list[str]:
        """Compare the student's scores with those of the undisturbed student."""
        expected = self._expected_scores
        spread = max(expected) - min(expected)
        scores = zip(scores_of(self.folder), expected, strict=True)
        difference = max(abs(score - other) for score, other in scores) / spread
        if difference <= _MAX_DIFFERENCE:
            return []
        return [f"scores differ from the undisturbed student's by {difference:.3f} of their spread"]

    def _latest_step(self) -> int:
        """Return the step of the latest checkpoint in Ray Train's snapshot; 0 if there is none."""
        checkpoints = self.folder / _STUDENT / "checkpoints"
        if not checkpoints.exists(_SNAPSHOT):
            return 0
        latest = json.loads(checkpoints.read_text(_SNAPSHOT))["latest_checkpoint_result"]
        return int(latest["metrics"]["step"]) if latest else 0


def scores_of(run: Folder) -> list[float]:
    """Score PAIRS with the student of a run."""
    with tempfile.TemporaryDirectory() as local:
        (run / _STUDENT / "model").copy_to(Folder(local) / "model")
        return Scorer(Path(local) / "model").score(PAIRS)
