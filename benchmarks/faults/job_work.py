"""Run a job of the project as work to inject faults into, and restart it if it ends with an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.faults.campaign import MAX_WAIT_SECONDS, Work
from benchmarks.faults.storage_places import Place
from ranking.storage.folder import Folder
from tools.local_cluster.nodes import LocalCluster
from tools.local_cluster.processes import kill, wait_until

ROOT = Path(__file__).parents[2]


class JobWork(Work):
    """Work that is one job. Each start after success makes a new run.

    Args:
        cluster: Cluster to run on.
        settings: Run file.
        place: Storage place for the runs.
        overrides: Settings that replace those of the run file.

    Attributes:
        module: Module of the job in `ray_jobs`.
    """

    module: str

    def __init__(
        self, cluster: LocalCluster, settings: Path, place: Place, overrides: dict[str, object] | None = None
    ) -> None:
        self.place = place.name
        self._cluster, self._settings, self._storage_place = cluster, settings, place
        self._overrides = {"storage": place.folder.uri, **(overrides or {})}
        self._runs = 0
        self._errors: list[str] = []

    @property
    def run(self) -> str:
        """Name of the current run."""
        return f"{self.name}-{self._runs}"

    @property
    def folder(self) -> Folder:
        """Folder of the current run. Faults do not affect this view of it."""
        return self._storage_place.folder / self.run

    def start(self) -> None:
        """Start a new run."""
        self._runs += 1
        self._start_driver()

    def kill_driver(self) -> bool:
        """Kill the driver with SIGKILL and start it again with the same arguments."""
        self.stop()
        self._start_driver()
        return True

    def stop(self) -> None:
        """Kill the driver if it runs."""
        if self._job.poll() is None:
            kill(psutil.Process(self._job.pid))
            self._job.wait()

    def done(self) -> bool:
        """Return whether the job ended with exit code 0, and restart it if it ended with another."""
        code = self._job.poll()
        if code in (None, 0):
            return code == 0
        self._errors.append(f"exit {code}: {self.last_line()}")
        self._start_driver()
        return False

    def finish(self) -> None:
        """Wait until the job is done."""
        if not wait_until(self.done, MAX_WAIT_SECONDS, interval=1.0):
            raise RuntimeError(
                f"{self.name} was not done within {MAX_WAIT_SECONDS:.0f} s, last line: {self.last_line()}"
            )

    def job_errors(self) -> list[str]:
        """Return exit codes and last lines of jobs that failed since the previous call."""
        errors, self._errors = self._errors, []
        return errors

    def last_line(self) -> str:
        """Return the last line of the job's log."""
        return (self._log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]

    @property
    def _log(self) -> Path:
        return self._settings.parent / f"{self.place}-{self.run}.log"

    def _start_driver(self) -> None:
        environment = {**self._cluster.driver_environment, **self._storage_place.environment}
        arguments = job_command(self.module, self._settings, run=self.run, **self._overrides)
        with self._log.open("ab") as stream:
            self._job = subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT)


def job_command(module: str, settings: Path, **overrides: object) -> list[str]:
    """Return the command line of a job.

    Args:
        module: Module of the job.
        settings: Run file.
        **overrides: Settings that replace those of the run file.
    """
    options = [
        part
        for name, value in overrides.items()
        for part in (f"--{name}", value if isinstance(value, str) else json.dumps(value))
    ]
    return [sys.executable, "-m", module, str(settings), *options]
