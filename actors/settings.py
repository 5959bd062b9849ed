"""Settings of the teachers, of the rationales, and of how much of the cluster each stage takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ranking.prompts import LISTWISE, MINILM_LIST
from ranking.settings import Settings


class PointwiseTeacherSettings(Settings):
    """A model in vLLM that scores a query and a document at a time."""

    kind: Literal["pointwise"] = "pointwise"
    form: Literal["embed", "score", "yes_no"] = Field(
        "embed",
        description="`embed`: cosine of the embeddings of a sentence encoder. `score`: logit of a cross-encoder with one label. "
        "`yes_no`: logit of yes less that of no of a generating model, as Qwen3-Reranker has it.",
    )
    model: str = Field(
        "minilm", description="`minilm`, or the folder or Hugging Face id of a model of that form that vLLM runs."
    )
    revision: str | None = Field(None, description="Revision of the model on the hub.")
    prompt: str | None = Field(
        None, description="For `yes_no`: prompt file with the parts system and pair. Null: the project's own."
    )
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enforce_eager": True, "max_num_seqs": 64},
        description="Arguments of the vLLM engine. dtype auto on a processor: bf16 where that is native, else fp32.",
    )
    max_tokens: int = Field(
        256,
        ge=8,
        description="Texts are cut to so many tokens of the teacher's tokenizer; of a pair the document is cut.",
    )


class RecordedTeacherSettings(Settings):
    """Rankings made elsewhere, over the collection's query and document ids."""

    kind: Literal["recorded"] = "recorded"
    path: str = Field(
        description="Answers of a listwise LLM with the documents that it was shown (.jsonl, see docs/teachers.md), a TREC run file, "
        "RankLLM's JSON, or qrels with the teacher's grades."
    )
    collection: str | None = Field(
        None,
        description="The collection.source that the file was recorded for; any other is refused. Null: not checked.",
    )
    unlisted: Literal["negative", "unseen"] = Field(
        "negative",
        description="How to treat candidates that a run does not list: `negative`, or `unseen`, which are left out of training. Answers "
        "and grades say which documents the teacher saw, so this does not apply to them.",
    )


class WindowSettings(Settings):
    """The sliding window of RankGPT, to compare with: several calls a query, one after the other."""

    size: int = Field(20, ge=2, description="Documents per prompt.")
    stride: int = Field(10, ge=1, description="Places between two windows.")

    @model_validator(mode="after")
    def _moves_on(self) -> WindowSettings:
        if self.stride > self.size:
            raise ValueError(f"a stride of {self.stride} leaves gaps between windows of {self.size}")
        return self


class ListwiseTeacherSettings(Settings):
    """A language model in vLLM that reads a query's documents in one prompt and writes their order."""

    kind: Literal["listwise"] = "listwise"
    model: str = Field(
        description="`minilm-list`, or folder or Hugging Face id of a generating model with a chat template."
    )
    revision: str | None = Field(None, description="Revision of the model on the hub.")
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description="Arguments of the vLLM engine. dtype auto on a processor: bf16 where that is native, else fp32; `minilm-list`: fp32.",
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 takes the likeliest token.")
    structured: bool = Field(True, description="Let the model write nothing but distinct identifiers in range.")
    prompt: str | None = Field(
        None,
        description="Prompt file with the parts system, opening, document, closing, maybe disarm and most. Null: the project's own.",
    )
    max_attempts: int = Field(
        3, ge=1, description="How often a list is asked for, each time in another order, until the answer is usable."
    )
    orders: int = Field(
        1, ge=1, description="Prompt orders per list whose answers are merged (permutation self-consistency)."
    )
    merge: Literal["kemeny", "borda"] = Field("kemeny", description="How several answers become one order.")
    missing: Literal["hard_negative", "append"] = Field(
        "hard_negative",
        description="What becomes of documents that the answer leaves out. `append`: listed last, as pre-ranked.",
    )
    window: WindowSettings | None = Field(
        None,
        description="Rank by a sliding window instead of one prompt; what a window leaves out keeps its order behind.",
    )
    max_document_tokens: int = Field(
        200,
        ge=8,
        description="Documents are cut to so many tokens, to fewer where the context is too small; of `minilm-list`: 64.",
    )
    seed: int = Field(13, description="Seed of the prompt orders.")

    @model_validator(mode="after")
    def _as_it_learned(self) -> ListwiseTeacherSettings:
        """minilm-list learned from documents of 64 tokens, and lists by differences of scores that less precise numbers lose."""
        if self.model == "minilm-list":
            given = self.engine.get("dtype", "auto")
            if given not in ("auto", "float32", "float"):
                raise ValueError(
                    f"engine.dtype {given!r}: minilm-list needs float32, as its scores are near each other"
                )
            self.engine = {**self.engine, "dtype": "float32"}
            if "max_document_tokens" not in self.model_fields_set:
                self.max_document_tokens = 64
        return self

    @property
    def prompt_file(self) -> Path:
        """The file of the prompt: the one that is given, else the model's own, else the project's."""
        return Path(self.prompt) if self.prompt else MINILM_LIST if self.model == "minilm-list" else LISTWISE


TeacherSettings = Annotated[
    ListwiseTeacherSettings | PointwiseTeacherSettings | RecordedTeacherSettings, Field(discriminator="kind")
]


class NoRationaleSettings(Settings):
    """No rationales are written."""

    kind: Literal["none"] = "none"


class ExtractiveRationaleSettings(Settings):
    """Each candidate's sentence that shares most with the query; no model."""

    kind: Literal["extractive"] = "extractive"


class LlmRationaleSettings(Settings):
    """A language model in vLLM that is told whether a candidate is relevant, and writes why. It may be smaller than the teacher."""

    kind: Literal["llm"] = "llm"
    model: str = Field(description="Folder or Hugging Face id of a generating model with a chat template.")
    revision: str | None = Field(None, description="Revision of the model on the hub.")
    engine: dict[str, Any] = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description="Arguments of the vLLM engine. dtype auto on a processor: bf16 where that is native, else fp32.",
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 takes the likeliest token.")
    max_tokens: int = Field(
        96, ge=8, description="Tokens that a rationale may have; what is cut off there is not learned from."
    )
    max_document_tokens: int = Field(
        300, ge=8, description="Documents are cut to so many tokens, to fewer where the context is too small."
    )
    rationales_per_list: int = Field(
        4,
        ge=1,
        description="Candidates of a list that get a rationale: half the best relevant ones, half the hardest of the others.",
    )
    prompt: str | None = Field(
        None, description="Prompt file with the parts system, opening, document, closing. Null: the project's own."
    )


RationaleSettings = Annotated[
    NoRationaleSettings | ExtractiveRationaleSettings | LlmRationaleSettings, Field(discriminator="kind")
]


class ComputeSettings(Settings):
    """How many actors a stage runs, and what each takes."""

    encoder: Literal["sentence-transformers", "vllm"] = Field(
        "sentence-transformers",
        description="Engine of the sentence encoders of dense retrieval and the pre-ranker. `vllm`: as many engines, with as many GPUs, as "
        "the teacher has.",
    )
    cpu_actors: int = Field(2, ge=1, description="Actors of one CPU each that encode, and that score the test split.")
    dashboard: bool = Field(False, description="Start the dashboard too where the job starts a Ray of its own.")
    teacher_engines: int = Field(1, ge=1, description="vLLM engines.")
    min_teacher_engines: int | None = Field(
        None,
        ge=1,
        description="Engines to begin with; more are started as nodes come, up to `teacher_engines`. Null: all at once.",
    )
    teacher_gpus: int = Field(0, ge=0, description="GPUs per engine; 0 runs vLLM's CPU build.")
    teacher_cpus: int = Field(1, ge=1, description="CPUs that Ray sets aside per engine.")
    teacher_pool: str | None = Field(
        None,
        description="Custom resource of the nodes that engines belong on, one of it for each GPU; cluster.yaml has `teacher`. Null: any.",
    )
    teacher_gpu_gb: float | None = Field(
        None,
        gt=0,
        description="Memory that each of those GPUs needs, in GB as its maker names it; the run ends at once where the cluster cannot "
        "give it. Read from a node's label `gpu-gb` or its card's type; where neither tells, it is not checked.",
    )
    rationale_engines: int = Field(1, ge=1, description="vLLM engines that write rationales.")
    min_rationale_engines: int | None = Field(None, ge=1, description="As `min_teacher_engines`, of those.")
    rationale_gpus: int = Field(0, ge=0, description="GPUs per engine that writes rationales; 0 runs vLLM's CPU build.")
    rationale_cpus: int = Field(1, ge=1, description="CPUs that Ray sets aside per engine that writes rationales.")
    rationale_pool: str | None = Field(None, description="As `teacher_pool`, of those.")
    rationale_gpu_gb: float | None = Field(None, gt=0, description="As `teacher_gpu_gb`, of those.")
    student_pool: str | None = Field(
        None,
        description="Custom resource of the nodes that training workers belong on; cluster.yaml has `student`. Null: any.",
    )
    student_gpu_gb: float | None = Field(None, gt=0, description="As `teacher_gpu_gb`, of a training worker's GPU.")
    stall_warning_seconds: float = Field(
        300.0, gt=0, description="A stage without progress for so long says what it waits for."
    )
    cluster_file: str | None = Field(
        None,
        description="The cluster's file, which says what it can grow to, for the check before a run. Null: the one that `ray up` left "
        "on the head, or KubeRay's RayCluster; where there is none, the nodes that are there count.",
    )
    engine_tokens_per_second: float | None = Field(
        None, gt=0, description="Tokens a second that one teacher engine was seen to read and write; for `--estimate`."
    )
    engine_hour_price: float | None = Field(
        None, ge=0, description="Price of an hour of one teacher engine's machine, in any currency."
    )

    @model_validator(mode="after")
    def _least_is_not_more(self) -> ComputeSettings:
        for name in ("teacher_engines", "rationale_engines"):
            least, most = getattr(self, f"min_{name}"), getattr(self, name)
            if least is not None and least > most:
                raise ValueError(f"min_{name} {least} is more than {name} {most}")
        return self
