"""Settings of the teachers and of how much of the cluster each stage takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ranking.settings import Settings


class PointwiseTeacherSettings(Settings):
    """A sentence encoder in vLLM: the score of a pair is the cosine of query and document embedding."""

    kind: Literal["pointwise"] = "pointwise"
    model: str = Field("minilm", description="`minilm`, or the folder or Hugging Face id of an embedding model that vLLM runs.")
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enforce_eager": True, "max_num_seqs": 64},
        description="Arguments of the vLLM engine. dtype auto on a processor: bf16 where that is native, else fp32.",
    )
    max_tokens: int = Field(256, ge=8, description="Texts are cut to so many tokens of the teacher's tokenizer.")
    batch_size: int = Field(64, ge=1, description="Texts per batch sent to the engine.")


class RecordedTeacherSettings(Settings):
    """Rankings made elsewhere, from a TREC run file."""

    kind: Literal["recorded"] = "recorded"
    path: str = Field(description="TREC run file over the collection's query and document ids.")


TeacherSettings = Annotated[PointwiseTeacherSettings | RecordedTeacherSettings, Field(discriminator="kind")]


class ComputeSettings(Settings):
    """How many actors a stage runs, and what each takes."""

    cpu_actors: int = Field(2, ge=1, description="Actors of one CPU each that encode, and that score the test split.")
    dashboard: bool = Field(False, description="Start the dashboard too where the job starts a Ray of its own.")
    teacher_engines: int = Field(1, ge=1, description="vLLM engines.")
    teacher_gpus: int = Field(0, ge=0, description="GPUs per engine; 0 runs vLLM's CPU build.")
    teacher_cpus: int = Field(1, ge=1, description="CPUs that Ray sets aside per engine.")
