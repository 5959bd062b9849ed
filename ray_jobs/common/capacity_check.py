"""Check, before a run waits for resources, that the cluster has them or can scale up to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from actors.cluster import limits
from actors.cluster.capacity import Demand, Nodes, unmet_demand
from actors.cluster.placement import EnginePool, Placement, rationale_engines, teacher_engines, training_worker
from actors.generators.generator_settings import LlmGenerationSettings
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.errors import InputError
from ranking.hosted_settings import is_hosted
from ray_jobs.common.run import Run

Part = Literal["teacher", "rationales", "training", "encoder", "judge", "generator"]
_READERS_AND_SINK, _PRE_RANKER = 0.5, 1.0
"""CPUs of the tasks that run beside the engines: reading the input and writing the answers, and the pre-ranker."""


def demands_of(run: Run, parts: Sequence[Part]) -> list[Demand]:
    """List the minimum resources that some parts of a run need.

    A recorded or hosted teacher, extractive or hosted rationales and a hosted judge run without an engine, so they add
    no demand.
    """
    settings, demands = run.settings, [Demand("a stage", 1, Placement(1).demand, "compute")]
    compute = settings.compute
    engine = not isinstance(settings.teacher, RecordedTeacherSettings) and not is_hosted(settings.teacher)
    if "teacher" in parts and engine:
        other_cpus = _READERS_AND_SINK + (_PRE_RANKER if settings.pre_ranker else 0)
        demands.append(_engines("the teacher", "teacher", teacher_engines(compute), compute.teacher_gpu_gb, other_cpus))
    generator = settings.queries.generate
    generates = isinstance(generator, LlmGenerationSettings) and not is_hosted(generator)
    for part, who, needs_engine in (
        ("encoder", "the sentence encoder", True),
        ("judge", "the judge", not is_hosted(settings.evaluation.judge)),
        ("generator", "the generator of queries", generates),
    ):
        if part in parts and needs_engine:
            pool = teacher_engines(compute)
            demands.append(_engines(who, "teacher", pool, compute.teacher_gpu_gb, _READERS_AND_SINK))
    writes = isinstance(settings.rationales, LlmRationaleSettings) and not is_hosted(settings.rationales)
    if "rationales" in parts and writes:
        demands.append(
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
        demands.append(
            Demand("training", workers, shape, "training.workers, compute.student_pool, student_gpu_gb", gpu_gb)
        )
    return demands


def check(run: Run, *parts: Part) -> None:
    """Check that the cluster has, or can scale up to, the resources that some parts of a run need.

    The limits of an autoscaling cluster come from `compute.cluster_file`, from the file that `ray up` leaves on the
    head node, or from KubeRay's RayCluster. Without any of these, the current nodes are the limit.

    Raises:
        InputError: If the resources are not available.
    """
    run.start_ray()
    demands = demands_of(run, parts)
    shortage = unmet_demand(demands, limits.nodes_now(), grows=False)
    try:
        possible = _limits(run)
    except OSError as error:
        if shortage:
            run.progress.stage(
                "note", f"cannot read what the cluster can grow to ({error}); with the current nodes, {shortage}"
            )
        return
    if shortage and possible is not None:
        shortage = unmet_demand(demands, possible, grows=True)
    if shortage:
        raise InputError(shortage)


def _limits(run: Run) -> Sequence[Nodes] | None:
    """List the nodes that the cluster can scale up to; None if it does not autoscale.

    Raises:
        OSError: If KubeRay's RayCluster cannot be read.
    """
    cluster_file = run.settings.compute.cluster_file
    path = Path(cluster_file or limits.HEAD_NODE_CLUSTER_FILE).expanduser()
    if cluster_file is not None and not path.is_file():
        raise InputError(f"setting 'compute.cluster_file': {cluster_file}: no such file")
    if path.is_file() and "RAY_ADDRESS" in os.environ:
        return limits.nodes_of_file(path.read_text(encoding="utf-8"), str(path))
    if limits.on_kuberay():
        return limits.nodes_of_kuberay()
    return None


def _engines(who: str, setting: str, pool: EnginePool, gpu_gb: float | None, other_cpus: float) -> Demand:
    """Return the resources that the minimum number of engines of a pool needs.

    Args:
        who: Name of the part of the run that needs the engines, for the error message.
        setting: Prefix of the settings to name in the error message.
        pool: The pool of engines.
        gpu_gb: Required memory per GPU, in GB; None if any GPU is sufficient.
        other_cpus: CPUs of the tasks that run beside the engines.
    """
    settings = f"compute.{setting}_cpus, {setting}_gpus, {setting}_pool" + (
        f", {setting}_gpu_gb" if gpu_gb is not None else ""
    )
    return Demand(
        who, pool.min_engines, pool.placement.demand, settings, gpu_gb if pool.placement.gpus else None, other_cpus
    )
