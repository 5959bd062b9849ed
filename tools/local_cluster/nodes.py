"""Run a Ray cluster of several nodes on one machine: a head without CPUs, and workers that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import psutil

from tools.local_cluster.processes import (
    MARK,
    children_of,
    find_processes,
    kill,
    processes_with_mark,
    survivors,
    wait_until,
)
from tools.ports import free_ports

_RAY = Path(sys.executable).parent / "ray"
_OBJECT_STORE_BYTES = str(100 * 2**20)
_START_SECONDS = 180.0
_HEAD = "127.0.0.1"
_PORTS_PER_NODE = 2


class LocalCluster:
    """Context manager for a Ray cluster whose nodes have different addresses in 127.0.0.0/8.

    Ray treats each address as a machine. On exit all processes are killed, including orphans.

    Args:
        logs: Folder for the output of the nodes.
        workers: Number of workers.
        cpus: CPUs per worker.
        dashboard: Whether the head runs the dashboard, which accepts submitted jobs.

    Attributes:
        mark: Value of the environment variable that marks the cluster's processes.
        addresses: Addresses of the workers.
        address: Address to connect to.
        environment: Environment variables of the nodes.
    """

    def __init__(self, logs: Path, workers: int, cpus: int, dashboard: bool = False) -> None:
        self.logs = logs
        self.cpus = cpus
        self.mark = uuid.uuid4().hex
        self.addresses = [f"127.0.0.{number}" for number in range(11, 11 + workers)]
        port, self._dashboard = free_ports(2)
        self._has_dashboard = dashboard
        self.address = f"{_HEAD}:{port}"
        self.environment = {**os.environ, MARK: self.mark, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        self.environment.pop("RAY_ADDRESS", None)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        # short path, because socket paths have a length limit
        self._temporary = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)

    def __enter__(self) -> LocalCluster:
        dashboard = [f"--dashboard-port={self._dashboard}"] if self._has_dashboard else ["--include-dashboard=false"]
        head = ["--head", f"--port={self.address.partition(':')[2]}", "--num-cpus=0", *dashboard]
        self._wait(_HEAD, self._start(_HEAD, head, free_ports(_PORTS_PER_NODE)))
        # all ports at once: workers start concurrently and must not get the same ports
        ports = free_ports(_PORTS_PER_NODE * len(self.addresses))
        logs = [
            self._start(address, self._worker, ports[_PORTS_PER_NODE * n :][:_PORTS_PER_NODE])
            for n, address in enumerate(self.addresses)
        ]
        for address, log in zip(self.addresses, logs, strict=True):
            self._wait(address, log)
        return self

    def __exit__(self, *_: object) -> None:
        for process in processes_with_mark(self.mark):
            kill(process)
        for node in self._nodes.values():
            node.wait()
        self._temporary.cleanup()

    @property
    def driver_environment(self) -> dict[str, str]:
        """Environment variables of a job that runs on this cluster."""
        return {
            **self.environment,
            "RAY_ADDRESS": self.address,
            "RAY_API_SERVER_ADDRESS": f"http://{_HEAD}:{self._dashboard}",
        }

    def start_worker(self, address: str) -> None:
        """Start a worker and wait until it runs.

        Raises:
            RuntimeError: The worker does not start.
        """
        self._wait(address, self._start(address, self._worker, free_ports(_PORTS_PER_NODE)))

    def raylets(self) -> dict[str, psutil.Process]:
        """Return the raylets of the running workers by address."""
        raylets = {}
        for process in find_processes(self.mark, "raylet/raylet"):
            for address in self.addresses:
                if f"--node_ip_address={address}" in process.cmdline():
                    raylets[address] = process
        return raylets

    def kill_worker(self, address: str) -> list[psutil.Process]:
        """Kill a worker's raylet, after which the node's other processes end by themselves.

        Returns:
            Processes of the node that did not end.
        """
        node = self._nodes.pop(address)
        processes = psutil.Process(node.pid).children(recursive=True)
        kill(self.raylets()[address])
        node.wait()
        return survivors(processes)

    @property
    def _worker(self) -> list[str]:
        return [f"--address={self.address}", f"--num-cpus={self.cpus}"]

    def _start(self, address: str, arguments: list[str], ports: list[int]) -> Path:
        """Start a node without waiting for it, and return its log file."""
        names = ("dashboard-agent-listen-port", "ray-client-server-port")
        port_options = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
        node_options = [
            # with a shared folder, nodes unpack a job's working directory over one another
            f"--temp-dir={self._temporary.name}/{address}",
            f"--node-ip-address={address}",
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
            "--min-worker-port=0",
            "--max-worker-port=0",
        ]
        command = [str(_RAY), "start", "--block", "--disable-usage-stats", *node_options, *port_options, *arguments]
        log = self.logs / f"node-{address}-{uuid.uuid4().hex[:6]}.log"
        with log.open("wb") as stream:
            self._nodes[address] = subprocess.Popen(
                command, env=self.environment, stdout=stream, stderr=subprocess.STDOUT
            )
        return log

    def _wait(self, address: str, log: Path) -> None:
        node = self._nodes[address]
        started = wait_until(
            lambda: "Ray runtime started" in log.read_text() or node.poll() is not None, _START_SECONDS
        )
        if not started or node.poll() is not None:
            raise RuntimeError(f"node {address} did not start: {log.read_text()[-500:]}")


def node_of(cluster: LocalCluster, process: psutil.Process | None) -> str | None:
    """Return the address of the worker node that a process runs on; None for the head or no process."""
    if process is None:
        return None
    return next(
        (
            address
            for address, raylet in cluster.raylets().items()
            if process.pid in {child.pid for child in children_of(raylet)}
        ),
        None,
    )
