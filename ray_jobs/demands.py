"""What the stages of a run need of a cluster, checked before they wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from actors.capacity import Demand, check_room
from actors.placement import EnginePool, Placement, reason_engines, teacher_engines, training_worker
from actors.settings import LlmReasonSettings, RecordedTeacherSettings
from ray_jobs.run import Run

Part = Literal["teacher", "reasons", "training"]


def demands_of(run: Run, parts: Sequence[Part]) -> list[Demand]:
    """What these parts of a run need at least; none for a teacher or reasons without an engine."""
    settings, found = run.settings, [Demand("a stage", 1, Placement(1).demand, "compute")]
    if "teacher" in parts and not isinstance(settings.teacher, RecordedTeacherSettings):
        found.append(_engines("the teacher", teacher_engines(settings.compute), "compute.teacher_gpus, teacher_pool"))
    if "reasons" in parts and isinstance(settings.reasons, LlmReasonSettings):
        found.append(_engines("the writer of reasons", reason_engines(settings.compute), "compute.reason_gpus, reason_pool"))
    if "training" in parts and settings.students:
        training = settings.training
        shape = training_worker(training.gpu, settings.compute).demand
        found.append(Demand("training", training.least_workers or training.workers, shape, "training.workers, compute.student_pool"))
    return found


def check(run: Run, *parts: Part) -> None:
    """Raise InputError where the cluster has no room for these parts, and cannot grow to it."""
    run.start_ray()
    check_room(demands_of(run, parts), run.settings.compute.cluster_file)


def _engines(who: str, pool: EnginePool, setting: str) -> Demand:
    return Demand(who, pool.least, pool.placement.demand, setting)
