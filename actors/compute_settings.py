"""Settings of the compute resources of each stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ranking.settings import Settings


class ComputeSettings(Settings):
    """Number of actors of each stage, and the resources of each actor."""

    encoder: Literal["sentence-transformers", "vllm"] = Field(
        "sentence-transformers",
        description=(
            "Engine of the sentence encoders of dense retrieval and the pre-ranker. `vllm` uses as many engines, "
            "with as many GPUs, as the teacher."
        ),
    )
    cpu_actors: int = Field(2, ge=1, description="Actors with one CPU each that encode texts and score the test split.")
    dashboard: bool = Field(False, description="Start the Ray dashboard too, if the job starts its own Ray instance.")
    teacher_engines: int = Field(
        1, ge=1, description="vLLM engines of the teacher; the maximum if `min_teacher_engines` is set."
    )
    min_teacher_engines: int | None = Field(
        None,
        ge=1,
        description="Initial number of engines. The pool grows to `teacher_engines` as nodes join. Null: all at once.",
    )
    teacher_gpus: int = Field(0, ge=0, description="GPUs per teacher engine; 0 runs vLLM's CPU build.")
    teacher_cpus: int = Field(1, ge=1, description="CPUs that Ray reserves per teacher engine.")
    teacher_pool: str | None = Field(
        None,
        description=(
            "Custom Ray resource of the nodes that teacher engines run on. An engine takes one unit per GPU, or one "
            "without GPUs. cluster.yaml defines `teacher`. Null: any node."
        ),
    )
    teacher_gpu_gb: float | None = Field(
        None,
        gt=0,
        description=(
            "Required memory per GPU of a teacher engine, in GB as advertised by the vendor. The run fails at once "
            "if the cluster cannot provide it. Read from the node label `gpu-gb` or from the GPU type; if neither is "
            "known, there is no check."
        ),
    )
    rationale_engines: int = Field(
        1, ge=1, description="vLLM engines that write rationales; the maximum if `min_rationale_engines` is set."
    )
    min_rationale_engines: int | None = Field(
        None, ge=1, description="Like `min_teacher_engines`, for rationale engines."
    )
    rationale_gpus: int = Field(0, ge=0, description="GPUs per rationale engine; 0 runs vLLM's CPU build.")
    rationale_cpus: int = Field(1, ge=1, description="CPUs that Ray reserves per rationale engine.")
    rationale_pool: str | None = Field(None, description="Like `teacher_pool`, for rationale engines.")
    rationale_gpu_gb: float | None = Field(None, gt=0, description="Like `teacher_gpu_gb`, for rationale engines.")
    student_pool: str | None = Field(
        None,
        description=(
            "Custom Ray resource of the nodes that training workers run on. cluster.yaml defines `student`. Null: "
            "any node."
        ),
    )
    student_gpu_gb: float | None = Field(
        None, gt=0, description="Like `teacher_gpu_gb`, for the GPU of a training worker."
    )
    stall_warning_seconds: float = Field(
        300.0, gt=0, description="Seconds without progress after which a stage reports what it is waiting for."
    )
    cluster_file: str | None = Field(
        None,
        description=(
            "Cluster config file with the maximum cluster size, for the capacity check before a run. Null: the file "
            "that `ray up` leaves on the head node, or KubeRay's RayCluster; without either, only the current nodes "
            "count."
        ),
    )
    engine_tokens_per_second: float | None = Field(
        None,
        gt=0,
        description=(
            "Measured throughput of one teacher engine, in tokens read and written per second; for `--estimate`."
        ),
    )
    engine_hour_price: float | None = Field(
        None, ge=0, description="Price per hour of the machine of one teacher engine, in any currency."
    )

    @model_validator(mode="after")
    def _check_min_engines(self) -> ComputeSettings:
        for name in ("teacher_engines", "rationale_engines"):
            min_engines, max_engines = getattr(self, f"min_{name}"), getattr(self, name)
            if min_engines is not None and min_engines > max_engines:
                raise ValueError(f"min_{name} {min_engines} is more than {name} {max_engines}")
        return self
