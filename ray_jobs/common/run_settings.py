"""The run file: all settings of a run."""

from __future__ import annotations

from pydantic import Field, model_validator

from actors.compute_settings import ComputeSettings
from actors.generators.generator_settings import GeneratedOrLoggedQuerySettings
from actors.rationales.rationale_settings import NoRationaleSettings, RationaleSettings
from actors.serving.serving_settings import ServingSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.teacher_settings import TeacherSettings
from ranking.ab_test.ab_settings import AbSettings
from ranking.clicks.click_settings import ClickSettings
from ranking.evaluation.evaluation_settings import EvaluationSettings
from ranking.labels.export_settings import ExportSettings
from ranking.model_paths import EMBEDDED
from ranking.passage_settings import PassageSettings
from ranking.records import FUSED
from ranking.settings import (
    AblationSettings,
    AuditSettings,
    CandidateSettings,
    CollectionSettings,
    DenseSettings,
    PreRankerSettings,
    Settings,
)
from ray_jobs.tracking.tracking_settings import MlflowSettings
from students.student_settings import RraBertSettings, StudentSettings
from students.training_settings import TrainingSettings

CANDIDATE_SETTINGS = ("collection", "queries", "candidates", "pre_ranker", "passages")
"""Top-level settings that candidate lists depend on."""

TRAINING_SETTINGS = (*CANDIDATE_SETTINGS, "teacher", "rationales", "students", "training", "compute")
"""Top-level settings that students depend on."""

PIPELINE_SETTINGS = (*TRAINING_SETTINGS, "evaluation")
"""Top-level settings that the evaluation depends on."""


def _default_students() -> list[StudentSettings]:
    return [RraBertSettings()]


class RunSettings(Settings):
    """All settings of a run file."""

    run: str = Field(
        "quickstart",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the run, and of its folder under `storage`.",
    )
    storage: str = Field(
        "runs", description="Storage root of runs and the registry: a path or a URI such as s3://bucket/rra."
    )
    collection: CollectionSettings = CollectionSettings()
    queries: GeneratedOrLoggedQuerySettings = GeneratedOrLoggedQuerySettings()
    candidates: CandidateSettings = CandidateSettings()
    pre_ranker: PreRankerSettings | None = Field(
        default_factory=PreRankerSettings,
        description="Selects the candidates that the teacher sees. Null: the teacher sees all candidates.",
    )
    passages: PassageSettings | None = Field(
        None,
        description="Splits long documents into passages, in pre-ranking, labelling, training, evaluation and serving. "
        "Null: models read the beginning of a document.",
    )
    teacher: TeacherSettings = Field(default_factory=PointwiseTeacherSettings)
    audit: AuditSettings = AuditSettings()
    rationales: RationaleSettings = Field(default_factory=NoRationaleSettings)
    students: list[StudentSettings] = Field(
        default_factory=_default_students, description="Students to train. Their names must be distinct."
    )
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    ablation: AblationSettings = AblationSettings()
    serving: ServingSettings = ServingSettings()
    ab: AbSettings = AbSettings()
    clicks: ClickSettings = ClickSettings()
    export: ExportSettings = ExportSettings()
    compute: ComputeSettings = ComputeSettings()
    mlflow: MlflowSettings | None = Field(None, description="Experiment tracking with MLflow. Null: none.")

    @model_validator(mode="after")
    def _fill_in_first_stages(self) -> RunSettings:
        """Set the evaluation's default first stage and baseline: the fused lists, or the only retriever's lists."""
        retrievers = self.candidates.retrievers
        evaluation = self.evaluation
        if not evaluation.first_stages:
            evaluation.first_stages = [FUSED if len(retrievers) > 1 else retrievers[0].list_name]
        if not evaluation.baseline:
            evaluation.baseline = evaluation.first_stages[0]
        return self

    @property
    def candidate_encoder(self) -> tuple[str, str | None] | None:
        """Name and revision of the sentence encoder that scores candidates; None if the run needs none.

        It is the pre-ranker's. Without a pre-ranker, passages are chosen with the encoder of the first dense retriever,
        or with `minilm` if there is none.
        """
        dense = [part for part in self.candidates.retrievers if isinstance(part, DenseSettings)]
        if self.pre_ranker is not None:
            return self.pre_ranker.model, self.pre_ranker.revision
        if self.passages is None:
            return None
        return (dense[0].model, dense[0].revision) if dense else (EMBEDDED, None)
