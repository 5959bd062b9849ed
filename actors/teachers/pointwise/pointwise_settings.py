"""Settings of pointwise teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from actors.teachers.pointwise.pointwise_presets import with_preset
from actors.vllm.engine_dtype import engine_with_dtype
from ranking.errors import InputError
from ranking.prompts import bundled_prompt
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
