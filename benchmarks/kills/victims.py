"""Who is killed: the driver, a worker's raylet, an engine's actor, or the engine alone below it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import psutil

from benchmarks.kills.cluster import LocalCluster
from benchmarks.kills.processes import called, children_of

Kind = Literal["driver", "raylet", "raylet of the engine", "engine actor", "engine core"]
KINDS: Sequence[Kind] = ("driver", "raylet of the engine", "engine actor", "driver", "engine core", "raylet")
_ACTOR = "ray::MapWorker(MapBatches"
_TEACHER = "ListwiseActor"


def drawn_kinds(kills: int, seed: int) -> list[Kind]:
    """So many kinds in a random order, each as often as the others, within one; the driver twice as often."""
    kinds = [KINDS[number % len(KINDS)] for number in range(kills)]
    random.Random(seed).shuffle(kinds)
    return kinds


def engine_actor(cluster: LocalCluster) -> psutil.Process | None:
    """The process of the teacher's actor; None while there is none."""
    return next((process for process in called(cluster.mark, _ACTOR) if _TEACHER in " ".join(process.cmdline())), None)


def engine_core(cluster: LocalCluster) -> psutil.Process | None:
    """The process in which vLLM computes, below the actor, also while it starts."""
    actor = engine_actor(cluster)
    return next((child for child in children_of(actor) if _is_core(child)), None) if actor else None


def engine_node(cluster: LocalCluster) -> str | None:
    """The address of the worker on which the teacher's actor runs."""
    actor = engine_actor(cluster)
    if actor is None:
        return None
    return next((address for address, raylet in cluster.raylets().items() if actor.pid in {p.pid for p in children_of(raylet)}), None)


def engines(cluster: LocalCluster) -> list[psutil.Process]:
    """Every process of vLLM, and what the actor started, orphans too."""
    actor = engine_actor(cluster)
    return list({*called(cluster.mark, "VLLM::"), *(children_of(actor, deep=True) if actor else [])})


def _is_core(process: psutil.Process) -> bool:
    title = " ".join(process.cmdline())
    return "VLLM::EngineCore" in title or "spawn_main" in title
