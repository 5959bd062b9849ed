"""Settings of the rationale writers, one class per kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from actors.vllm.engine_dtype import engine_with_dtype
from ranking.hosted_settings import BACKEND, HOSTED, Backend, HostedSettings, check_backend
from ranking.settings import REVISION, EngineArguments, Revision, Settings


class NoRationaleSettings(Settings):
    """No rationales."""

    kind: Literal["none"] = "none"


class ExtractiveRationaleSettings(Settings):
    """For each candidate, the sentence with the largest term overlap with the query; needs no model."""

    kind: Literal["extractive"] = "extractive"


class ThinkingRationaleSettings(Settings):
    """For each candidate, the first sentence of the teacher's thought that names only it; needs `teacher.thinking`."""

    kind: Literal["thinking"] = "thinking"


class LlmRationaleSettings(Settings):
    """A language model that explains the relevance of a candidate. It may be smaller than the teacher."""

    kind: Literal["llm"] = "llm"
    backend: Backend = Field("vllm", description=BACKEND)
    model: str = Field(
        description="Folder or Hugging Face id of a generative model with a chat template. For a hosted model, its "
        "name in the API."
    )
    revision: Revision = Field(None, description=REVISION)
    hosted: HostedSettings | None = Field(None, description=HOSTED)
    engine: EngineArguments = Field(
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

    @model_validator(mode="after")
    def _apply_manifest(self) -> LlmRationaleSettings:
        check_backend(self.backend, self.hosted, self.revision)
        self.engine = engine_with_dtype(self.model, self.engine)
        return self


RationaleSettings = Annotated[
    NoRationaleSettings | ExtractiveRationaleSettings | LlmRationaleSettings | ThinkingRationaleSettings,
    Field(discriminator="kind"),
]
