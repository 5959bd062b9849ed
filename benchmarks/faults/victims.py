"""Whom to kill: an engine's actor, the engine alone below it, the node they are on, another one."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from benchmarks.faults.campaign import Fault
from benchmarks.faults.cluster import LocalCluster
from benchmarks.faults.processes import called, children_of, kill

_ACTOR = "ray::MapWorker(MapBatches"
_TEACHER = "ListwiseActor"


def process_fault(name: str, cluster: LocalCluster, part: str) -> Fault:
    """Kill the first process of the cluster whose title or command line holds a text."""

    def strike() -> bool:
        victim = next(iter(called(cluster.mark, part)), None)
        if victim:
            kill(victim)
        return victim is not None

    return Fault(name, strike)


class NodeFault:
    """Kill the raylet of a worker, and start it again. find: its address, or None while there is none."""

    def __init__(self, cluster: LocalCluster, find: Callable[[], str | None]) -> None:
        self._cluster, self._find = cluster, find
        self._gone: str | None = None

    def strike(self) -> bool:
        self._gone = self._find()
        if self._gone:
            self._cluster.kill_worker(self._gone)
        return self._gone is not None

    def mend(self) -> None:
        if self._gone:
            self._cluster.start_worker(self._gone)
            self._gone = None


def node_fault(name: str, cluster: LocalCluster, find: Callable[[], str | None]) -> Fault:
    """Kill a worker's raylet, and start the node again."""
    held = NodeFault(cluster, find)
    return Fault(name, held.strike, held.mend)


def node_of(cluster: LocalCluster, process: psutil.Process | None) -> str | None:
    """The address of the worker that a process runs on."""
    if process is None:
        return None
    return next(
        (
            address
            for address, raylet in cluster.raylets().items()
            if process.pid in {p.pid for p in children_of(raylet)}
        ),
        None,
    )


def engine_actor(cluster: LocalCluster) -> psutil.Process | None:
    """The process of the teacher's actor; None while there is none."""
    return next((process for process in called(cluster.mark, _ACTOR) if _TEACHER in " ".join(process.cmdline())), None)


def engine_core(cluster: LocalCluster) -> psutil.Process | None:
    """The process in which vLLM computes, below the actor, also while it starts."""
    actor = engine_actor(cluster)
    return next((child for child in children_of(actor) if _is_core(child)), None) if actor else None


def engines(cluster: LocalCluster) -> list[psutil.Process]:
    """Every process of vLLM, and what the actor started, orphans too."""
    actor = engine_actor(cluster)
    return list({*called(cluster.mark, "VLLM::"), *(children_of(actor, deep=True) if actor else [])})


def _is_core(process: psutil.Process) -> bool:
    title = " ".join(process.cmdline())
    return "VLLM::EngineCore" in title or "spawn_main" in title
