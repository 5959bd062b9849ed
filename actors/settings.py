"""Settings of the teachers, the rationale writers and the compute resources of each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ranking.prompts import LISTWISE, MINILM_LIST
from ranking.settings import Settings


class PointwiseTeacherSettings(Settings):
    """A model in vLLM that scores one query-document pair at a time."""

    kind: Literal["pointwise"] = "pointwise"
    form: Literal["embed", "score", "yes_no"] = Field(
        "embed",
        description=(
            "`embed`: cosine similarity of sentence embeddings. `score`: logit of a cross-encoder with one label. "
            "`yes_no`: logit of `yes` minus logit of `no` of a generative model, as in Qwen3-Reranker."
        ),
    )
    model: str = Field(
        "minilm",
        description="`minilm`, or the folder or Hugging Face id of a model that fits `form` and that vLLM supports.",
    )
    revision: str | None = Field(None, description="Revision of the model on the Hugging Face Hub.")
    prompt: str | None = Field(
        None, description="For `yes_no`: prompt file with the parts system and pair. Null: the built-in prompt."
    )
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enforce_eager": True, "max_num_seqs": 64},
        description=(
            "Arguments of the vLLM engine. On a CPU, dtype `auto` is bf16 if the CPU supports it natively, else fp32."
        ),
    )
    max_tokens: int = Field(
        256,
        ge=8,
        description=(
            "Maximum length in tokens of the teacher's tokenizer. `embed`: per text. `score`: per pair; the longer "
            "text is truncated. `yes_no`: per document."
        ),
    )


class RecordedTeacherSettings(Settings):
    """Rankings recorded elsewhere, over the query and document ids of the collection."""

    kind: Literal["recorded"] = "recorded"
    path: str = Field(
        description=(
            "Answers of a listwise LLM with the documents of each prompt (.jsonl, see docs/teachers.md), a TREC run "
            "file, RankLLM's JSON, or qrels with the teacher's grades. `pydoc`: the answers that come with the pydoc "
            "collection."
        )
    )
    collection: str | None = Field(
        None,
        description=(
            "The collection.source that the file was recorded for; any other source is an error. Null: no check."
        ),
    )
    unlisted: Literal["negative", "unseen"] = Field(
        "negative",
        description=(
            "How to treat candidates that a run does not list: `negative`, or `unseen`, which excludes them from "
            "training. Ignored for answers and grades, which show which documents the teacher saw."
        ),
    )

    @property
    def location(self) -> str:
        """Path or URI of the file."""
        from ranking.collections.pydoc import RANKINGS

        return str(RANKINGS) if self.path == "pydoc" else self.path


class WindowSettings(Settings):
    """RankGPT's sliding window, a baseline: several sequential calls per query."""

    size: int = Field(20, ge=2, description="Documents per prompt.")
    stride: int = Field(10, ge=1, description="Positions between the starts of two consecutive windows.")

    @model_validator(mode="after")
    def _check_stride(self) -> WindowSettings:
        if self.stride > self.size:
            raise ValueError(f"a stride of {self.stride} leaves gaps between windows of {self.size} documents")
        return self


class ListwiseTeacherSettings(Settings):
    """A language model in vLLM that reads the documents of a query in one prompt and writes their ranking."""

    kind: Literal["listwise"] = "listwise"
    model: str = Field(
        description="`minilm-list`, or the folder or Hugging Face id of a generative model with a chat template."
    )
    revision: str | None = Field(None, description="Revision of the model on the Hugging Face Hub.")
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description=(
            "Arguments of the vLLM engine. On a CPU, dtype `auto` is bf16 if the CPU supports it natively, else "
            "fp32. `minilm-list` always runs in fp32."
        ),
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 is greedy decoding.")
    structured: bool = Field(True, description="Constrain decoding to distinct identifiers of the prompt's documents.")
    prompt: str | None = Field(
        None,
        description=(
            "Prompt file with the parts system, opening, document, closing, and optionally disarm and most. Null: "
            "the model's own prompt for `minilm-list`, else the built-in one."
        ),
    )
    max_attempts: int = Field(
        3,
        ge=1,
        description=(
            "Maximum number of prompts per list and prompt order, each with the documents reshuffled, until an "
            "answer is usable."
        ),
    )
    orders: int = Field(
        1, ge=1, description="Prompt orders per list whose answers are merged (permutation self-consistency)."
    )
    merge: Literal["kemeny", "borda"] = Field("kemeny", description="Rank aggregation method for several answers.")
    missing: Literal["hard_negative", "append"] = Field(
        "hard_negative",
        description=(
            "How to label documents that the answer omits. `hard_negative`: as negatives below all listed documents. "
            "`append`: as listed last, in pre-ranking order."
        ),
    )
    window: WindowSettings | None = Field(
        None,
        description=(
            "Rank with a sliding window instead of one prompt. Documents that a window's answer omits keep their "
            "relative order, after the listed ones."
        ),
    )
    max_document_tokens: int = Field(
        200,
        ge=8,
        description=(
            "Maximum tokens per document; fewer if the prompt would exceed the model's context. Default for "
            "`minilm-list`: 64."
        ),
    )
    seed: int = Field(13, description="Seed of the prompt orders.")

    @model_validator(mode="after")
    def _apply_minilm_list_defaults(self) -> ListwiseTeacherSettings:
        """Run minilm-list in fp32, with documents of 64 tokens unless set.

        It was trained on documents of 64 tokens. Its scores are so close together that lower precision changes the
        ranking.
        """
        if self.model == "minilm-list":
            dtype = self.engine.get("dtype", "auto")
            if dtype not in ("auto", "float32", "float"):
                raise ValueError(
                    f"engine.dtype {dtype!r}: minilm-list needs float32, because its scores are close together"
                )
            self.engine = {**self.engine, "dtype": "float32"}
            if "max_document_tokens" not in self.model_fields_set:
                self.max_document_tokens = 64
        return self

    @property
    def prompt_file(self) -> Path:
        """Path of the prompt file: `prompt` if set, else that of minilm-list for this model, else the built-in one."""
        return Path(self.prompt) if self.prompt else MINILM_LIST if self.model == "minilm-list" else LISTWISE


TeacherSettings = Annotated[
    ListwiseTeacherSettings | PointwiseTeacherSettings | RecordedTeacherSettings, Field(discriminator="kind")
]


class NoRationaleSettings(Settings):
    """No rationales."""

    kind: Literal["none"] = "none"


class ExtractiveRationaleSettings(Settings):
    """For each candidate, the sentence with the largest term overlap with the query; needs no model."""

    kind: Literal["extractive"] = "extractive"


class LlmRationaleSettings(Settings):
    """A language model in vLLM that explains the relevance of a candidate. It may be smaller than the teacher."""

    kind: Literal["llm"] = "llm"
    model: str = Field(description="Folder or Hugging Face id of a generative model with a chat template.")
    revision: str | None = Field(None, description="Revision of the model on the Hugging Face Hub.")
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description=(
            "Arguments of the vLLM engine. On a CPU, dtype `auto` is bf16 if the CPU supports it natively, else fp32."
        ),
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 is greedy decoding.")
    max_tokens: int = Field(
        96, ge=8, description="Maximum tokens per rationale. Truncated rationales are not used for training."
    )
    max_document_tokens: int = Field(
        300,
        ge=8,
        description="Maximum tokens per document; fewer if the prompt would exceed the model's context.",
    )
    rationales_per_list: int = Field(
        4,
        ge=1,
        description=(
            "Candidates per list that get a rationale: half are the best relevant ones, half the hardest negatives."
        ),
    )
    prompt: str | None = Field(
        None,
        description="Prompt file with the parts system, opening, document, closing. Null: the built-in prompt.",
    )


RationaleSettings = Annotated[
    NoRationaleSettings | ExtractiveRationaleSettings | LlmRationaleSettings, Field(discriminator="kind")
]


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
