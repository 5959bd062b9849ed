"""Settings of A/B reports."""

from __future__ import annotations

from pydantic import Field

from ranking.settings import Settings


class AbSettings(Settings):
    """What is read from exposures and feedback."""

    experiment: str | None = Field(None, description="Name of the experiment. Null: that of serving.traffic.")
    at: int = Field(10, ge=1, description="Clicks down to this position count in CTR.")
    min_lift: float = Field(
        0.05, gt=0, description="Relative lift of CTR that would matter; the report says how many keys show it."
    )
    level: float = Field(
        0.05, gt=0, lt=1, description="Intervals hold the true value in all but this share of the experiments."
    )
    resamples: int = Field(2000, ge=100, description="Resamples of the bootstrap over keys.")
    seed: int = Field(13, description="Seed of the bootstrap.")
