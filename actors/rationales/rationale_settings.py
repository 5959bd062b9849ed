"""Settings of the rationale writers, one class per kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from actors.vllm.engine_dtype import engine_with_dtype
from ranking.generative_model_settings import GenerativeModelSettings
from ranking.settings import Settings


class NoRationaleSettings(Settings):
    """No rationales."""

    kind: Literal["none"] = "none"


class ExtractiveRationaleSettings(Settings):
    """For each candidate, the sentence with the largest term overlap with the query; needs no model."""

    kind: Literal["extractive"] = "extractive"


class ThinkingRationaleSettings(Settings):
    """For each candidate, the first sentence of the teacher's thought that names only it; needs `teacher.thinking`."""

    kind: Literal["thinking"] = "thinking"


class LlmRationaleSettings(GenerativeModelSettings):
    """A language model that explains the relevance of a candidate. It may be smaller than the teacher."""

    kind: Literal["llm"] = "llm"
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
        self.engine = engine_with_dtype(self.model, self.engine)
        return self


RationaleSettings = Annotated[
    NoRationaleSettings | ExtractiveRationaleSettings | LlmRationaleSettings | ThinkingRationaleSettings,
    Field(discriminator="kind"),
]
