"""Settings of the judge, which grades documents without a human grade."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from ranking.generative_model_settings import GenerativeModelSettings
from ranking.prompts.pair_prompts import GRADE
from ranking.settings import Settings


class GradingSettings(Settings):
    """Settings of every kind of judge."""

    depth: int = Field(
        10, ge=1, description="Documents at the top of each system's ranking that are graded if no human graded them."
    )
    scale: list[int] | None = Field(
        None,
        description=(
            "The collection's grades for the judge's grades 0, 1, 2 and 3. Null: [0, 1, 2, 3], [0, 0, 1, 2] or "
            "[0, 0, 1, 1] if the highest human grade is 3, 2 or 1; a higher one is an error."
        ),
    )
    unjudged_queries: int = Field(
        200,
        ge=1,
        description="Test queries of a collection without any judgements, which only the judge grades. They are drawn "
        "by a hash of their id, from those in the recorded file if there is one, and are not labelled.",
    )
    agreement_pairs: int = Field(
        500, ge=0, description="Pairs with a human grade that the judge grades too, to measure agreement. 0: none."
    )
    seed: int = Field(13, description="Seed of the sample of these pairs, and of the bootstrap of the agreement.")
    force: bool = Field(
        False,
        description="Accept a judge that is the teacher's own model or file. Its column is then marked in every table.",
    )

    @field_validator("scale")
    @classmethod
    def _check_scale(cls, scale: list[int] | None) -> list[int] | None:
        if scale is None:
            return None
        if len(scale) != 4 or scale != sorted(scale) or scale[1] == scale[2]:
            raise ValueError(
                "must be four grades in ascending order, for the judge's 0, 1, 2 and 3, the third above the second, "
                "such as [0, 0, 1, 1]"
            )
        return scale


class LlmJudgeSettings(GenerativeModelSettings, GradingSettings):
    """A generative language model that grades one query-passage pair at a time. In vLLM, on the teacher's resources."""

    kind: Literal["llm"] = "llm"
    model: str = Field(
        description="Folder or Hugging Face id of a generative model with a chat template. For a hosted model, its "
        "name in the API. It must not be the teacher."
    )
    structured: bool = Field(
        True,
        description="Constrain decoding to one of the digits 0 to 3; for a hosted model, to JSON with one, see "
        "hosted.structured. Otherwise, answers are parsed, and those that are not a single grade are unusable.",
    )
    prompt: str | None = Field(
        None, description="Prompt file with the parts system and pair. Null: the built-in prompt."
    )
    max_tokens: int = Field(
        16, ge=1, description="Maximum tokens per answer, including the thought of a hosted model that thinks."
    )
    max_document_tokens: int = Field(
        500, ge=8, description="Maximum tokens per passage; fewer if the prompt would exceed the model's context."
    )

    @property
    def prompt_file(self) -> Path:
        """Path of the prompt file: `prompt` if set, else the built-in one."""
        return Path(self.prompt) if self.prompt else GRADE


class RecordedJudgeSettings(GradingSettings):
    """Grades from 0 to 3 that a language model gave elsewhere."""

    kind: Literal["recorded"] = "recorded"
    path: str = Field(description="Qrels file with the grades, over the collection's query and document ids.")
    model: str | None = Field(
        None,
        description="Name of the model that gave the grades. It must not be the teacher's model. Null: unknown.",
    )


JudgeSettings = Annotated[LlmJudgeSettings | RecordedJudgeSettings, Field(discriminator="kind")]
