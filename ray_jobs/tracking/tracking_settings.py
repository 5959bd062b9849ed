"""Settings of experiment tracking."""

from __future__ import annotations

from pydantic import Field

from ranking.settings import Settings


class MlflowSettings(Settings):
    """Log settings, curves, metrics, reports and models to MLflow. Needs `pip install 'rradistill[mlflow]'`."""

    uri: str | None = Field(
        None,
        description="Tracking URI, for example `https://mlflow.example.com` or `sqlite:///mlflow.db`. Null: the "
        "environment variable MLFLOW_TRACKING_URI, or else `mlflow.db` in a local `storage`.",
    )
    experiment: str = Field("rradistill", min_length=1, description="Name of the MLflow experiment.")
    models: bool = Field(True, description="Whether to upload the students' model folders as artifacts.")
