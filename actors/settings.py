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


class ListwiseTeacherSettings(Settings):
    """A language model in vLLM that reads a query's documents in one prompt and writes their order."""

    kind: Literal["listwise"] = "listwise"
    model: str = Field(description="Folder or Hugging Face id of a generating model with a chat template.")
    revision: str | None = Field(None, description="Revision of the model on the hub.")
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description="Arguments of the vLLM engine. dtype auto on a processor: bf16 where that is native, else fp32.",
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 takes the likeliest token.")
    structured: bool = Field(True, description="Let the model write nothing but distinct identifiers in range.")
    prompt: str | None = Field(None, description="Prompt file with the parts system, opening, document, closing. Null: the project's own.")
    attempts: int = Field(3, ge=1, description="How often a list is asked for, each time in another order, until the answer is usable.")
    orders: int = Field(1, ge=1, description="Prompt orders per list whose answers are merged (permutation self-consistency).")
    merge: Literal["kemeny", "borda"] = Field("kemeny", description="How several answers become one order.")
    missing: Literal["hard_negative", "append"] = Field(
        "hard_negative",
        description="What becomes of documents that the answer leaves out. `append`: listed last, as pre-ranked.",
    )
    document_tokens: int = Field(200, ge=8, description="Documents are cut to so many tokens, to fewer where the context is too small.")
    batch_size: int = Field(16, ge=1, description="Prompts per batch sent to the engine.")
    seed: int = Field(13, description="Seed of the prompt orders.")


TeacherSettings = Annotated[ListwiseTeacherSettings | PointwiseTeacherSettings | RecordedTeacherSettings, Field(discriminator="kind")]


class ComputeSettings(Settings):
    """How many actors a stage runs, and what each takes."""

    cpu_actors: int = Field(2, ge=1, description="Actors of one CPU each that encode, and that score the test split.")
    dashboard: bool = Field(False, description="Start the dashboard too where the job starts a Ray of its own.")
    teacher_engines: int = Field(1, ge=1, description="vLLM engines.")
    teacher_gpus: int = Field(0, ge=0, description="GPUs per engine; 0 runs vLLM's CPU build.")
    teacher_cpus: int = Field(1, ge=1, description="CPUs that Ray sets aside per engine.")
