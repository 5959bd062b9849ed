"""Find processes to kill: the engine's actor, the engine's core process, and the nodes that they run on."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from benchmarks.faults.campaign import Fault
from tools.local_cluster.nodes import LocalCluster
from tools.local_cluster.processes import children_of, find_processes, kill

_ACTOR = "ray::MapWorker(MapBatches"
_TEACHER = "ListwiseActor"


def process_fault(name: str, cluster: LocalCluster, text: str) -> Fault:
    """Make a fault that kills the cluster's first process with a text in its title or command line."""

    def inject() -> bool:
        victim = next(iter(find_processes(cluster.mark, text)), None)
        if victim:
            kill(victim)
        return victim is not None

    return Fault(name, inject)


class NodeFault:
    """Kills the raylet of a worker node, and restarts the node.

    Args:
        cluster: Cluster of the node.
        find_address: Returns the address of the node to kill, or None while there is none.
    """

    def __init__(self, cluster: LocalCluster, find_address: Callable[[], str | None]) -> None:
        self._cluster, self._find_address = cluster, find_address
        self._killed: str | None = None

    def inject(self) -> bool:
        """Kill the node. Returns False if there is none."""
        self._killed = self._find_address()
        if self._killed:
            self._cluster.kill_worker(self._killed)
        return self._killed is not None

    def repair(self) -> None:
        """Restart the killed node."""
        if self._killed:
            self._cluster.start_worker(self._killed)
            self._killed = None


def node_fault(name: str, cluster: LocalCluster, find_address: Callable[[], str | None]) -> Fault:
    """Make a fault that kills a worker's raylet and restarts the node."""
    fault = NodeFault(cluster, find_address)
    return Fault(name, fault.inject, fault.repair)


def engine_actor(cluster: LocalCluster) -> psutil.Process | None:
    """Return the process of the teacher's actor; None if it does not run."""
    actors = find_processes(cluster.mark, _ACTOR)
    return next((process for process in actors if _TEACHER in " ".join(process.cmdline())), None)


def engine_core(cluster: LocalCluster) -> psutil.Process | None:
    """Return vLLM's core process, a child of the actor, even while it starts; None if there is none."""
    actor = engine_actor(cluster)
    return next((child for child in children_of(actor) if _is_core(child)), None) if actor else None


def engines(cluster: LocalCluster) -> list[psutil.Process]:
    """Return all processes of vLLM, including orphans, and all descendants of the actor."""
    actor = engine_actor(cluster)
    return list({*find_processes(cluster.mark, "VLLM::"), *(children_of(actor, recursive=True) if actor else [])})


def _is_core(process: psutil.Process) -> bool:
    title = " ".join(process.cmdline())
    return "VLLM::EngineCore" in title or "spawn_main" in title
