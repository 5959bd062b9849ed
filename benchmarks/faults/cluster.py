"""A Ray cluster of several nodes on this machine: a head without CPUs, and workers that may be killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import psutil

from benchmarks.faults.processes import MARK, called, ended, kill, marked, wait_until
from tools.ports import free_ports

_RAY = Path(sys.executable).parent / "ray"
_STORE = str(100 * 2**20)
_START = 180.0
_HEAD = "127.0.0.1"
_PORTS = 2


class LocalCluster:
    """Each node has an address of its own in 127.0.0.0/8, so that Ray takes it for a machine. logs: folder for what nodes print.

    dashboard: whether the head takes jobs too.

    Used as a context manager; all its processes end with it, also those whose parents were killed.
    """

    def __init__(self, logs: Path, workers: int, cpus: int, dashboard: bool = False) -> None:
        self.logs = logs
        self.cpus = cpus
        self.mark = uuid.uuid4().hex
        self.addresses = [f"127.0.0.{number}" for number in range(11, 11 + workers)]
        port, self._dashboard = free_ports(2)
        self._takes_jobs = dashboard
        self.address = f"{_HEAD}:{port}"
        self.environment = {**os.environ, MARK: self.mark, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        self.environment.pop("RAY_ADDRESS", None)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._temporary = tempfile.TemporaryDirectory(
            prefix="ray-", ignore_cleanup_errors=True
        )  # sockets want a short path

    def __enter__(self) -> LocalCluster:
        shown = [f"--dashboard-port={self._dashboard}"] if self._takes_jobs else ["--include-dashboard=false"]
        head = ["--head", f"--port={self.address.partition(':')[2]}", "--num-cpus=0", *shown]
        self._wait(_HEAD, self._start(_HEAD, head, free_ports(_PORTS)))
        ports = free_ports(_PORTS * len(self.addresses))  # at one time, as the workers start side by side
        logs = [
            self._start(address, self._worker, ports[_PORTS * n :][:_PORTS]) for n, address in enumerate(self.addresses)
        ]
        for address, log in zip(self.addresses, logs, strict=True):
            self._wait(address, log)
        return self

    def __exit__(self, *_: object) -> None:
        for process in marked(self.mark):
            kill(process)
        for node in self._nodes.values():
            node.wait()
        self._temporary.cleanup()

    @property
    def driver_environment(self) -> dict[str, str]:
        """Environment of a job that is to run here."""
        return {
            **self.environment,
            "RAY_ADDRESS": self.address,
            "RAY_API_SERVER_ADDRESS": f"http://{_HEAD}:{self._dashboard}",
        }

    def start_worker(self, address: str) -> None:
        """Start a worker node; raises RuntimeError where it does not come up."""
        self._wait(address, self._start(address, self._worker, free_ports(_PORTS)))

    def raylets(self) -> dict[str, psutil.Process]:
        """The raylets of the workers that run, by address."""
        found = {}
        for process in called(self.mark, "raylet/raylet"):
            for address in self.addresses:
                if f"--node_ip_address={address}" in process.cmdline():
                    found[address] = process
        return found

    def kill_worker(self, address: str) -> list[psutil.Process]:
        """Kill a worker's raylet; what else is of the node goes by itself. Returns what is left of it."""
        node = self._nodes.pop(address)
        inside = psutil.Process(node.pid).children(recursive=True)
        kill(self.raylets()[address])
        node.wait()
        return ended(inside)

    @property
    def _worker(self) -> list[str]:
        return [f"--address={self.address}", f"--num-cpus={self.cpus}"]

    def _start(self, address: str, arguments: list[str], ports: list[int]) -> Path:
        """Begin to start a node; returns what it prints to."""
        names = ("dashboard-agent-listen-port", "ray-client-server-port")
        listening = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
        # else nodes would unpack a job's code over one another
        place = f"--temp-dir={self._temporary.name}/{address}"
        own = [
            place,
            f"--node-ip-address={address}",
            f"--object-store-memory={_STORE}",
            "--min-worker-port=0",
            "--max-worker-port=0",
        ]
        command = [str(_RAY), "start", "--block", "--disable-usage-stats", *own, *listening, *arguments]
        log = self.logs / f"node-{address}-{uuid.uuid4().hex[:6]}.log"
        with log.open("wb") as stream:
            self._nodes[address] = subprocess.Popen(
                command, env=self.environment, stdout=stream, stderr=subprocess.STDOUT
            )
        return log

    def _wait(self, address: str, log: Path) -> None:
        node = self._nodes[address]
        up = wait_until(lambda: "Ray runtime started" in log.read_text() or node.poll() is not None, _START)
        if not up or node.poll() is not None:
            raise RuntimeError(f"the node {address} did not start: {log.read_text()[-500:]}")
