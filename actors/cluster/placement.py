"""What an actor takes of a node, and on which nodes it belongs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.settings import ComputeSettings


@dataclass(frozen=True)
class Placement:
    """pool: custom resource of the nodes that the actor belongs on; it takes one of it for each GPU, and one where it has none."""

    cpus: float
    gpus: float = 0
    pool: str | None = None

    @property
    def pooled(self) -> dict[str, float]:
        """The custom resources it takes."""
        return {} if self.pool is None else {self.pool: max(1, self.gpus)}

    @property
    def options(self) -> dict[str, Any]:
        """For Ray's `options` and Ray Data's `map_batches`."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **({"resources": self.pooled} if self.pool else {})}

    @property
    def demand(self) -> dict[str, float]:
        """All resources it takes, as an autoscaler reads them."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {}), **self.pooled}


@dataclass(frozen=True)
class EnginePool:
    """A pool of engines. least: with how many it begins; more come as there is room for them."""

    engines: int
    least: int
    placement: Placement


def teacher_engines(compute: ComputeSettings) -> EnginePool:
    """Where the teacher runs."""
    placement = Placement(compute.teacher_cpus, compute.teacher_gpus, compute.teacher_pool)
    return EnginePool(compute.teacher_engines, compute.min_teacher_engines or compute.teacher_engines, placement)


def rationale_engines(compute: ComputeSettings) -> EnginePool:
    """Where rationales are written."""
    placement = Placement(compute.rationale_cpus, compute.rationale_gpus, compute.rationale_pool)
    return EnginePool(compute.rationale_engines, compute.min_rationale_engines or compute.rationale_engines, placement)


def training_worker(gpu: bool, compute: ComputeSettings) -> Placement:
    """What a training worker takes."""
    return Placement(1, 1 if gpu else 0, compute.student_pool)
