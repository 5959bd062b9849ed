"""Settings of the export of labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ranking.settings import Settings

Format = Literal["sentence_transformers", "flag_embedding", "ms_swift", "rank_llm"]
NegativeTier = Literal["hard_negative", "easy_negative"]
_OUTPUT = r"^(.*/)?[^/]+\.jsonl?$"


class ExportSettings(Settings):
    """Export of labels for other trainers. The settings of positives and negatives are for the binary formats."""

    format: Format = Field(
        "sentence_transformers",
        description="`sentence_transformers` (labeled lists), `flag_embedding` and `ms_swift` (binary: positives and "
        "negatives), or `rank_llm` (rankings).",
    )
    output: str | None = Field(
        None,
        pattern=_OUTPUT,
        description="File to write, a path or URI: .jsonl has a list per line, .json an array. Null: a .jsonl file "
        "named after the format, in export/ of the run's folder.",
    )
    split: Literal["all", "train", "validation"] = Field(
        "all", description="Queries to export. Validation queries are those of `training.validation_fraction`."
    )
    scale: Literal["unit", "none"] = Field(
        "unit",
        description="Labels of sentence_transformers. `unit`: targets, scaled to 0 to 1 in each list. `none`: targets.",
    )
    max_positive_rank: int | None = Field(
        None, ge=1, description="Worst rank by the teacher of a positive. Null: no limit."
    )
    min_negative_rank: int | None = Field(
        None,
        ge=2,
        description="Relevant documents from this rank by the teacher on are negatives. Null: only documents that do "
        "not count as relevant are negatives.",
    )
    min_positive_score: float | None = Field(
        None,
        description="Lowest score by the teacher of a positive. Null: the better half of a list is relevant. Needs "
        "labels with scores.",
    )
    max_negative_score: float | None = Field(
        None, description="Highest score by the teacher of a negative. Null: no limit. Needs labels with scores."
    )
    negative_tiers: list[NegativeTier] = Field(
        ["hard_negative", "easy_negative"],
        description="Tiers of documents that the teacher omitted and that are negatives.",
    )
    max_negatives: int | None = Field(
        None, ge=1, description="Maximum number of negatives per list, in the pre-ranker's order. Null: all."
    )

    @model_validator(mode="after")
    def _check_thresholds(self) -> ExportSettings:
        if self.min_negative_rank is not None and self.min_negative_rank <= (self.max_positive_rank or 0):
            raise ValueError("min_negative_rank must be greater than max_positive_rank")
        if (
            self.min_positive_score is not None
            and self.max_negative_score is not None
            and self.max_negative_score >= self.min_positive_score
        ):
            raise ValueError("max_negative_score must be lower than min_positive_score")
        return self
