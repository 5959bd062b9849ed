"""Settings of the evaluation."""

from __future__ import annotations

from pydantic import Field, model_validator

from ranking.evaluation.judge_settings import JudgeSettings
from ranking.settings import REVISION, Revision, Settings

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class RunSystemSettings(Settings):
    """A run file with another system's ranking of the test queries, which is measured without re-ranking."""

    name: str = Field(pattern=_NAME, description="Name in tables and files.")
    path: str = Field(description="TREC or MS MARCO run file, or RankLLM results (.json or .jsonl), as a path or URI.")


class ModelSystemSettings(Settings):
    """Another cross-encoder that re-ranks the same candidate lists as the students."""

    name: str = Field(pattern=_NAME, description="Name in tables and files.")
    model: str = Field(
        description="Folder of a saved student, or folder or Hugging Face id of a sequence classification model with "
        "one label."
    )
    revision: Revision = Field(None, description=REVISION)
    max_length: int | None = Field(
        None, ge=16, description="Maximum tokens of query and document together. Null: the model's own maximum."
    )


class EvaluationSettings(Settings):
    """Measurements on the test split, and the conditions of promotion."""

    split: str = Field("test", description="Split of the collection's judgements.")
    measures: list[str] = Field(
        default_factory=lambda: ["nDCG@10", "RR@10", "R@50"],
        min_length=1,
        description="Measures, named as in ir-measures. The first one is used for decisions.",
    )
    first_stages: list[str] = Field(
        default_factory=list,
        description="Candidate lists to re-rank: `fused` or a retriever's name. The promotion decision uses the first "
        "one. Empty: `fused`, or the retriever if there is only one.",
    )
    baseline: str = Field(
        "",
        description="System that a student must beat significantly: a retriever, `fused`, `pre-ranker`, `teacher`, or "
        "the name of a run or model. Empty: the first of `first_stages`.",
    )
    non_inferiority_margin: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Maximum allowed loss on the first measure against each first stage, the pre-ranker and the "
        "student's own base. Students that may lose more are not promoted.",
    )
    teacher: bool = Field(True, description="Also measure the teacher.")
    base: bool = Field(
        True, description="Also measure each student's base before training, if the base has a ranking head."
    )
    time_teacher: bool = Field(
        False,
        description="Also measure the teacher's latency: restart it alone and send 10 queries of 50 documents that are "
        "not in its response cache.",
    )
    runs: list[RunSystemSettings] = Field(default_factory=list, description="Rankings of other systems to measure.")
    models: list[ModelSystemSettings] = Field(default_factory=list, description="Other cross-encoders to measure.")
    judge: JudgeSettings | None = Field(
        None, description="Grades documents that no human graded, for a column of its own. Null: none."
    )
    latency_budget_ms: float | None = Field(
        None,
        gt=0,
        description="Maximum p95 latency of a champion in milliseconds, for one query of 50 documents on this machine. "
        "Null: no limit.",
    )
    min_difference: float = Field(
        0.03,
        gt=0,
        description="Smallest difference on the first measure that matters. A warning is shown if there are too few "
        "queries to detect it.",
    )
    significance: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Significance level of the paired randomisation test (after Holm's correction) and of the "
        "non-inferiority checks.",
    )
    permutations: int = Field(
        10_000, ge=100, description="Number of random sign flips of the test, and of bootstrap resamples."
    )
    seed: int = Field(13, description="Seed of the test and the bootstrap.")

    @model_validator(mode="after")
    def _check_names(self) -> EvaluationSettings:
        names = [*(run.name for run in self.runs), *(model.name for model in self.models)]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"names of runs and models must be unique; {repeated[0]!r} appears twice")
        return self
