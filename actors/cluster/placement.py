"""Resources of each kind of actor, and the node pool that it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.compute_settings import ComputeSettings


@dataclass(frozen=True)
class Placement:
    """Resources that one actor takes.

    Attributes:
        cpus: CPUs of the actor.
        gpus: GPUs of the actor.
        pool: Name of the custom resource that marks the nodes on which the actor runs. The actor takes one unit of it
            per GPU, or one unit if it has no GPU. None allows any node.
    """

    cpus: float
    gpus: float = 0
    pool: str | None = None

    @property
    def pooled(self) -> dict[str, float]:
        """Custom resources that the actor takes, {name: units}. Empty without a pool."""
        return {} if self.pool is None else {self.pool: max(1, self.gpus)}

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for Ray's `options` and Ray Data's `map_batches`."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **({"resources": self.pooled} if self.pool else {})}

    @property
    def demand(self) -> dict[str, float]:
        """All resources that the actor takes, in the autoscaler's format."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {}), **self.pooled}


@dataclass(frozen=True)
class EnginePool:
    """An autoscaling pool of engines, the actors that run an LLM.

    Attributes:
        engines: Maximum number of engines.
        min_engines: Number of engines at the start. More start as the cluster has room for them.
        placement: Resources of each engine.
    """

    engines: int
    min_engines: int
    placement: Placement


def teacher_engines(compute: ComputeSettings) -> EnginePool:
    """Return the engine pool of the teacher."""
    placement = Placement(compute.teacher_cpus, compute.teacher_gpus, compute.teacher_pool)
    return EnginePool(compute.teacher_engines, compute.min_teacher_engines or compute.teacher_engines, placement)


def rationale_engines(compute: ComputeSettings) -> EnginePool:
    """Return the engine pool of the LLM that writes rationales."""
    placement = Placement(compute.rationale_cpus, compute.rationale_gpus, compute.rationale_pool)
    return EnginePool(compute.rationale_engines, compute.min_rationale_engines or compute.rationale_engines, placement)


def training_worker(gpu: bool, compute: ComputeSettings) -> Placement:
    """Return the resources of one training worker."""
    return Placement(1, 1 if gpu else 0, compute.student_pool)
