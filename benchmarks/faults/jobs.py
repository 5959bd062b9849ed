"""A job of the project as work to disturb: called again as its user would, where it ends with an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.faults.campaign import LONGEST, Work
from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.storage_places import Place
from benchmarks.faults.processes import kill, wait_until
from ranking.storage.folder import Folder

ROOT = Path(__file__).parents[2]


class JobWork(Work):
    """A run of one module; a new one where it is done. settings: run file. given: other settings. module: of ray_jobs."""

    module: str

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, given: dict[str, object] | None = None
    ) -> None:
        self.place = place.name
        self._cluster, self._settings, self._at = cluster, settings, place
        self._given = {"storage": place.folder.uri, **(given or {})}
        self._runs = 0
        self._said: list[str] = []

    @property
    def run(self) -> str:
        return f"{self.name}-{self._runs}"

    @property
    def folder(self) -> Folder:
        """Of the run, as it is without faults."""
        return self._at.folder / self.run

    def start(self) -> None:
        self._runs += 1
        self._call()

    def kill_driver(self) -> bool:
        """SIGKILL, and the same call again."""
        self.stop()
        self._call()
        return True

    def stop(self) -> None:
        """End the driver, if it runs, at once."""
        if self._job.poll() is None:
            kill(psutil.Process(self._job.pid))
            self._job.wait()

    def done(self) -> bool:
        code = self._job.poll()
        if code in (None, 0):
            return code == 0
        self._said.append(f"exit {code}: {self.state()}")
        self._call()
        return False

    def finish(self) -> None:
        if not wait_until(self.done, LONGEST, every=1.0):
            raise RuntimeError(f"{self.name} did not end: {self.state()}")

    def heard(self) -> list[str]:
        heard, self._said = self._said, []
        return heard

    def state(self) -> str:
        return (self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]

    @property
    def _log(self) -> Path:
        return self._settings.parent / f"{self.place}-{self.run}.log"

    def _call(self) -> None:
        environment = {**self._cluster.driver_environment, **self._at.environment}
        call = command(self.module, self._settings, run=self.run, **self._given)
        with self._log.open("ab") as stream:
            self._job = subprocess.Popen(call, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)


def command(module: str, settings: Path, **given: object) -> list[str]:
    """The call of a job. given: settings to lay over the run file."""
    laid_over = [
        part
        for name, value in given.items()
        for part in (f"--{name}", value if isinstance(value, str) else json.dumps(value))
    ]
    return [sys.executable, "-m", module, str(settings), *laid_over]
