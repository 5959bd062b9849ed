"""What the stages of a run need of a cluster, checked before they wait for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from actors.cluster import limits
from actors.cluster.capacity import Demand, Nodes, lacking
from actors.cluster.placement import EnginePool, Placement, rationale_engines, teacher_engines, training_worker
from actors.settings import LlmRationaleSettings, RecordedTeacherSettings
from ranking.errors import InputError
from ray_jobs.common.run import Run

Part = Literal["teacher", "rationales", "training", "encoder"]
_READERS_AND_SINK, _PRE_RANKER = 0.5, 1.0
"""CPUs of what feeds engines and takes their answers."""


def demands_of(run: Run, parts: Sequence[Part]) -> list[Demand]:
    """What these parts of a run need at least; none for a teacher or rationales without an engine."""
    settings, found = run.settings, [Demand("a stage", 1, Placement(1).demand, "compute")]
    compute = settings.compute
    if "teacher" in parts and not isinstance(settings.teacher, RecordedTeacherSettings):
        beside = _READERS_AND_SINK + (_PRE_RANKER if settings.pre_ranker else 0)
        found.append(_engines("the teacher", "teacher", teacher_engines(compute), compute.teacher_gpu_gb, beside))
    if "encoder" in parts:
        found.append(
            _engines(
                "the sentence encoder", "teacher", teacher_engines(compute), compute.teacher_gpu_gb, _READERS_AND_SINK
            )
        )
    if "rationales" in parts and isinstance(settings.rationales, LlmRationaleSettings):
        found.append(
            _engines(
                "the writer of rationales",
                "rationale",
                rationale_engines(compute),
                compute.rationale_gpu_gb,
                _READERS_AND_SINK,
            )
        )
    if "training" in parts and settings.students:
        training = settings.training
        shape = training_worker(training.gpu, compute).demand
        workers = training.min_workers or training.workers
        gpu_gb = compute.student_gpu_gb if training.gpu else None
        found.append(
            Demand("training", workers, shape, "training.workers, compute.student_pool, student_gpu_gb", gpu_gb)
        )
    return found


def check(run: Run, *parts: Part) -> None:
    """Raise InputError where the cluster has no room for these parts, and cannot grow to it.

    It grows to what `compute.cluster_file` says, the file that `ray up` left on the head, or KubeRay's RayCluster. Where none of
    them is, nodes that are there now are all there is.
    """
    run.start_ray()
    demands = demands_of(run, parts)
    found = lacking(demands, limits.nodes_now(), grows=False)
    try:
        possible = _limits(run)
    except OSError as error:
        if found:
            run.progress.stage("note", f"what the cluster can grow to cannot be read ({error}); for now {found}")
        return
    if found and possible is not None:
        found = lacking(demands, possible, grows=True)
    if found:
        raise InputError(found)


def _limits(run: Run) -> Sequence[Nodes] | None:
    """The nodes that the cluster can grow to; None where it does not grow. Raises OSError where KubeRay's cannot be read."""
    named = run.settings.compute.cluster_file
    path = Path(named or limits.LEFT_ON_THE_HEAD).expanduser()
    if named is not None and not path.is_file():
        raise InputError(f"setting 'compute.cluster_file': {named}: no such file")
    if path.is_file() and "RAY_ADDRESS" in os.environ:
        return limits.nodes_of_file(path.read_text(encoding="utf-8"), str(path))
    if limits.on_kuberay():
        return limits.nodes_of_kuberay()
    return None


def _engines(who: str, setting: str, pool: EnginePool, gpu_gb: float | None, beside: float) -> Demand:
    settings = f"compute.{setting}_cpus, {setting}_gpus, {setting}_pool" + (
        f", {setting}_gpu_gb" if gpu_gb is not None else ""
    )
    return Demand(who, pool.least, pool.placement.demand, settings, gpu_gb if pool.placement.gpus else None, beside)
