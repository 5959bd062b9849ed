"""Settings of relevance estimates from clicks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ranking.settings import Settings


class ClickSettings(Settings):
    """Relevance from the clicks that the service records, for `ray_jobs.clicks`."""

    ubi_queries: str | None = Field(
        None,
        description=(
            "Searches of User Behavior Insights as .jsonl or .parquet, in addition to those that the service recorded: "
            "a path or URI of a file, a folder or a glob."
        ),
    )
    ubi_events: str | None = Field(None, description="Events of User Behavior Insights, with the clicks on them.")

    experiments: list[str] = Field(
        default_factory=list, description="Names of the experiments whose exposures count. Empty: all."
    )
    method: Literal["harvest", "em"] = Field(
        "harvest",
        description=(
            "How to estimate position bias from documents that were shown at several positions. `harvest`: from "
            "their clicks by position. `em`: EM of the position-based model."
        ),
    )
    depth: int = Field(10, ge=2, le=100, description="Deepest position to use.")
    min_clicks: int = Field(
        100, ge=1, description="Minimum number of clicks on documents that were shown at several positions."
    )
    min_examined: float = Field(
        5.0,
        gt=0,
        description=(
            "Minimum evidence for a document of a query, in impressions at position 1. An impression further below "
            "counts by its propensity."
        ),
    )
    max_weight: float = Field(10.0, ge=1, description="Maximum weight of a click, relative to one at position 1.")

    @model_validator(mode="after")
    def _check_ubi(self) -> ClickSettings:
        if (self.ubi_queries is None) != (self.ubi_events is None):
            raise ValueError("ubi_queries and ubi_events belong together; set both or neither")
        return self
