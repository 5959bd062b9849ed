"""Settings of passages: how long documents are split for models that read a limited number of tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from ranking.settings import Settings


class PassageSettings(Settings):
    """Splitting of long documents into overlapping passages. The best passage determines a document's score."""

    model_config = ConfigDict(frozen=True)

    tokens: int = Field(
        128,
        ge=8,
        description="Maximum tokens of a passage, without the title, which is repeated in front of each. Must be less "
        "than every student's max_length, which also includes query and title.",
    )
    stride: int = Field(
        64, ge=1, description="Tokens from the start of one passage to the start of the next; at most `tokens`."
    )
    aggregate: Literal["max"] = Field("max", description="Score of a document: the maximum over its passages.")
    max_per_document: int = Field(
        32, ge=1, le=1000, description="Maximum passages of a document; the text behind them is not read."
    )

    @model_validator(mode="after")
    def _check_stride(self) -> PassageSettings:
        if self.stride > self.tokens:
            raise ValueError(f"stride {self.stride} is more than tokens {self.tokens}, so text would be skipped")
        return self
