"""Settings of listwise teachers, in vLLM or hosted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from actors.vllm.engine_dtype import engine_with_dtype
from ranking.generative_model_settings import GenerativeModelSettings
from ranking.model_paths import manifest_of_model
from ranking.prompts import LISTWISE, bundled_prompt
from ranking.settings import EngineArguments, Settings


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


class ListwiseTeacherSettings(GenerativeModelSettings):
    """A language model that reads the documents of a query in one prompt and writes their ranking."""

    kind: Literal["listwise"] = "listwise"
    model: str = Field(
        description="Generative model with a chat template: a folder, a Hugging Face id or the name of a model in "
        "models/. For a hosted model, its name in the API."
    )
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
