"""Settings of A/B reports."""

from __future__ import annotations

from pydantic import Field

from ranking.settings import Settings


class AbSettings(Settings):
    """Settings of the A/B report."""

    experiment: str | None = Field(None, description="Name of the experiment. Null: serving.traffic.experiment.")
    at: int = Field(10, ge=1, description="Deepest position whose clicks count in CTR.")
    min_lift: float = Field(
        0.05,
        gt=0,
        description="Smallest relative lift in CTR that matters; the report gives the number of keys to detect it.",
    )
    level: float = Field(0.05, gt=0, lt=1, description="Significance level: 0.05 gives 95% confidence intervals.")
    resamples: int = Field(2000, ge=100, description="Number of bootstrap resamples over keys.")
    seed: int = Field(13, description="Seed of the bootstrap.")
