"""Settings of the evaluation."""

from __future__ import annotations

from pydantic import Field, model_validator

from ranking.settings import Settings

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class RunSystemSettings(Settings):
    """Another system's ranking of the test queries, measured as it is."""

    name: str = Field(pattern=_NAME, description="What it is called in tables and files.")
    path: str = Field(description="TREC run file, or RankLLM's .json or .jsonl, a path or URI.")


class ModelSystemSettings(Settings):
    """Another cross-encoder, which re-ranks the same lists as the students."""

    name: str = Field(pattern=_NAME, description="What it is called in tables and files.")
    model: str = Field(
        description="Folder of a saved student, or folder or Hugging Face id of a sequence classifier with one label."
    )
    max_length: int | None = Field(
        None, ge=16, description="Tokens of query and document together. Null: what the model's files say."
    )


class EvaluationSettings(Settings):
    """What is measured on the test split, and what a champion must beat."""

    split: str = Field("test", description="Split of the collection's judgements.")
    measures: list[str] = Field(
        default_factory=lambda: ["nDCG@10", "RR@10", "R@50"],
        min_length=1,
        description="Names of ir-measures; the first decides.",
    )
    first_stages: list[str] = Field(
        default_factory=list,
        description="Candidate lists to re-rank: `fused` or a retriever's name. The promotion decision is made on the first. Empty: "
        "`fused`, or the only retriever.",
    )
    baseline: str = Field(
        "",
        description="System that a student must beat significantly: a retriever, `fused`, `pre-ranker`, `teacher`, a run's name. "
        "Empty: the first of `first_stages`.",
    )
    non_inferiority_margin: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="A student is promoted only if it is not worse by more than this, on the first measure, than any first stage, the "
        "pre-ranker and its own base.",
    )
    teacher: bool = Field(True, description="Measure the teacher too.")
    base: bool = Field(
        True, description="Measure each student's base before training too, where the base has a ranking head."
    )
    time_teacher: bool = Field(
        False,
        description="Start the teacher once more, alone, and time it too, on ten queries of 50 documents that it has no memory of.",
    )
    runs: list[RunSystemSettings] = Field(
        default_factory=list, description="Rankings of other systems to measure beside."
    )
    models: list[ModelSystemSettings] = Field(
        default_factory=list, description="Other cross-encoders to measure beside."
    )
    latency_budget_ms: float | None = Field(
        None,
        gt=0,
        description="A champion's p95 for one query of 50 documents on the evaluating machine stays below. Null: no limit.",
    )
    min_difference: float = Field(
        0.03,
        gt=0,
        description="A difference on the first measure that would matter; a warning says if the queries are too few to show it.",
    )
    significance: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Level of the paired randomisation test, after Holm's correction, and of non-inferiority.",
    )
    permutations: int = Field(
        10_000, ge=100, description="Random sign flips of the test, and resamples of the bootstrap."
    )
    seed: int = Field(13, description="Seed of the test.")

    @model_validator(mode="after")
    def _names_apart(self) -> EvaluationSettings:
        names = [*(run.name for run in self.runs), *(model.name for model in self.models)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"runs and models need names of their own; {twice[0]!r} stands twice")
        return self
