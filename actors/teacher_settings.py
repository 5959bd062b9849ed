"""Settings of the teachers, one class per kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from actors.comparing_teacher_settings import PairwiseTeacherSettings, SetwiseTeacherSettings
from actors.teacher_presets import with_kind_of_preset, with_preset
from actors.vllm.engine_dtype import engine_with_dtype
from ranking.errors import InputError
from ranking.hosted_settings import BACKEND, HOSTED, Backend, HostedSettings, check_backend
from ranking.model_paths import manifest_of_model
from ranking.prompts import LISTWISE, bundled_prompt
from ranking.prompts.likelihood_prompts import QUERY_LIKELIHOOD, load_likelihood_prompt
from ranking.prompts.pair_prompts import YES_NO, load_pair_prompt
from ranking.prompts.published_prompts import is_published, load_published_prompt
from ranking.settings import REVISION, EngineArguments, Revision, Settings


class PointwiseTeacherSettings(Settings):
    """A model in vLLM that scores one query-document pair at a time."""

    kind: Literal["pointwise"] = "pointwise"
    preset: str | None = Field(
        None,
        description=(
            "Name of a public reranker, such as `qwen3-reranker-0.6b`, which sets form, model, prompt, engine and "
            "max_tokens unless they are given. See docs/teachers.md. Null: none."
        ),
    )
    form: Literal["embed", "score", "yes_no", "query_likelihood"] = Field(
        "embed",
        description=(
            "`embed`: cosine similarity of sentence embeddings. `score`: logit of a cross-encoder with one label. "
            "`yes_no`: logit of `yes` minus logit of `no` of a generative model, as in Qwen3-Reranker. "
            "`query_likelihood`: log-probability of the query given the document, of a generative model."
        ),
    )
    model: str = Field(
        "minilm",
        description="`minilm`, or the folder or Hugging Face id of a model that fits `form` and that vLLM supports.",
    )
    revision: Revision = Field(None, description=REVISION)
    prompt: str | None = Field(
        None,
        description=(
            "For `yes_no`: prompt file with the parts system and pair. For `query_likelihood`: prompt file with the "
            "parts system and passage. A name without a suffix is a prompt in ranking/prompts. Null: the built-in "
            "prompt."
        ),
    )
    instruction: str | None = Field(
        None,
        description=(
            "Instruction for prompts that have one, such as that of Qwen3-Reranker. Empty: no instruction. Null: the "
            "prompt's default."
        ),
    )
    likelihood: Literal["sum", "mean"] = Field(
        "sum",
        description=(
            "For `query_likelihood`: sum or mean of the log-probabilities of the query's tokens. The order is the "
            "same; the mean makes the scores of short and long queries comparable."
        ),
    )
    engine: EngineArguments = Field(
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
            "text is truncated. `yes_no` and `query_likelihood`: per document."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, values: Any) -> Any:
        return with_preset(values)

    @model_validator(mode="after")
    def _apply_manifest(self) -> PointwiseTeacherSettings:
        self.engine = engine_with_dtype(self.model, self.engine)
        return self

    @property
    def prompt_file(self) -> Path:
        """Path of the prompt file of `yes_no` or `query_likelihood`: `prompt` if set, else the built-in one."""
        built_in = QUERY_LIKELIHOOD if self.form == "query_likelihood" else YES_NO
        if self.prompt is None:
            return built_in
        is_name = "/" not in self.prompt and "." not in self.prompt
        return bundled_prompt(self.prompt) if is_name else Path(self.prompt)

    @property
    def has_published_prompt(self) -> bool:
        """Whether the prompt is one that a reranker was trained with, which needs no chat template.

        Raises:
            InputError: The prompt file is missing or malformed.
        """
        return self.form == "yes_no" and is_published(self.prompt_file)

    @property
    def prompt_hash(self) -> str | None:
        """Hash of the prompt; None for a form without one.

        Raises:
            InputError: The prompt file is missing or malformed.
        """
        if self.form == "query_likelihood":
            return load_likelihood_prompt(self.prompt_file).hash
        if self.has_published_prompt:
            return load_published_prompt(self.prompt_file, self.instruction).hash
        if self.instruction:
            raise InputError("setting 'teacher.instruction': only published prompts have one; put it into the prompt")
        return load_pair_prompt(self.prompt_file).hash if self.form == "yes_no" else None


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


class ThinkingSettings(Settings):
    """Thinking before the answer, of models such as Rank1, ReasonRank or Qwen3 in thinking mode."""

    budget: int = Field(
        2048,
        ge=16,
        description="Maximum tokens of a thought, in addition to those of the answer. An answer that is cut off within "
        "its thought is truncated, and asked again in another order.",
    )
    template: dict[str, Any] = Field(
        default_factory=lambda: {"enable_thinking": True},
        description="Arguments of the chat template that switch thinking on. Servers get them as "
        "chat_template_kwargs. Empty for a model that always thinks, or a server that refuses them.",
    )


class ListwiseTeacherSettings(Settings):
    """A language model that reads the documents of a query in one prompt and writes their ranking."""

    kind: Literal["listwise"] = "listwise"
    backend: Backend = Field("vllm", description=BACKEND)
    model: str = Field(
        description="Generative model with a chat template: a folder, a Hugging Face id or the name of a model in "
        "models/. For a hosted model, its name in the API."
    )
    revision: Revision = Field(None, description=REVISION)
    hosted: HostedSettings | None = Field(None, description=HOSTED)
    engine: EngineArguments = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description=(
            "Arguments of the vLLM engine. dtype `auto`: the one in the model's manifest; without one, on a CPU, "
            "bf16 if the CPU supports it natively, else fp32."
        ),
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 is greedy decoding.")
    thinking: ThinkingSettings | None = Field(
        None, description="Let the model think before it answers. Null: thinking is switched off."
    )
    structured: bool = Field(
        True,
        description="Constrain decoding to distinct identifiers of the prompt's documents. Ignored in vLLM if the "
        "model thinks.",
    )
    prompt: str | None = Field(
        None,
        description=(
            "Prompt file with the parts system, opening, document, closing, and optionally sanitize and max_documents. "
            "Null: the prompt in the model's manifest, else the built-in one."
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
            "Maximum tokens per document; fewer if the prompt would exceed the model's context. If unset, the number "
            "in the model's manifest, else 200."
        ),
    )
    seed: int = Field(13, description="Seed of the prompt orders.")

    @model_validator(mode="after")
    def _apply_manifest(self) -> ListwiseTeacherSettings:
        """Set the dtype and, unless it is set, `max_document_tokens` to those in the model's manifest."""
        check_backend(self.backend, self.hosted, self.revision)
        self.engine = engine_with_dtype(self.model, self.engine)
        manifest = manifest_of_model(self.model)
        if manifest and manifest.max_document_tokens and "max_document_tokens" not in self.model_fields_set:
            self.max_document_tokens = manifest.max_document_tokens
        return self

    @property
    def prompt_file(self) -> Path:
        """Path of the prompt file: `prompt` if set, else that in the model's manifest, else the built-in one."""
        if self.prompt:
            return Path(self.prompt)
        manifest = manifest_of_model(self.model)
        return bundled_prompt(manifest.prompt) if manifest and manifest.prompt else LISTWISE


_AnyTeacherSettings = Annotated[
    ListwiseTeacherSettings
    | PointwiseTeacherSettings
    | PairwiseTeacherSettings
    | SetwiseTeacherSettings
    | RecordedTeacherSettings,
    Field(discriminator="kind"),
]

TeacherSettings = Annotated[_AnyTeacherSettings, BeforeValidator(with_kind_of_preset)]
