"""Settings of the training of students. Does not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ranking.model_paths import manifest_of_model
from ranking.settings import Settings
from students.student_settings import Precision

DEFAULT_SCORE_SCALE = 8.0


class ConfidenceSettings(Settings):
    """Use of the labels' confidence. A label from a single teacher answer has none and counts as confidence 1."""

    weight: bool = Field(False, description="Multiply each list's loss by its label's confidence.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Drop labels with a lower confidence.")


class ClickMixingSettings(Settings):
    """Mix relevance from clicks (`ray_jobs.clicks`) into the teacher's targets.

    The clicks of a query get the weight w = weight * n / (n + k), where n is the number of its exposures.
    """

    weight: float = Field(0.5, gt=0, le=1, description="Weight of the clicks of a query with very many exposures.")
    k: float = Field(
        100.0, gt=0, description="Number of exposures at which the clicks of a query have half of `weight`."
    )


LossName = Literal[
    "auto",
    "ranknet",
    "ranknet_by_rank",
    "lambda_loss",
    "listnet",
    "list_mle",
    "adr_mse",
    "info_nce",
    "margin_mse",
    "listwise_kl",
    "score_distillation",
]


class TrainingSettings(Settings):
    """Training of all students."""

    loss: LossName = Field(
        "auto",
        description=(
            "Loss over a list. `auto`: ranknet if the teacher gives an order, score_distillation if it gives scores, "
            "info_nce for judgements."
        ),
    )
    targets: Literal["labels", "judgements"] = Field(
        "labels",
        description=(
            "Training targets. `labels`: the teacher's labels. `judgements`, a supervised baseline: the collection's "
            "qrels of the log's queries, over the candidates of the labels."
        ),
    )
    labels: list[str] = Field(
        default_factory=list,
        description=(
            "Path or URI of another run's folder, or a list of them: train on their labels, and on their rationales "
            "for students that use rationales. Empty: this run's labels."
        ),
    )
    clicks: ClickMixingSettings | None = Field(
        None, description="Mix relevance from clicks into the teacher's targets. Null: use no clicks."
    )
    relevant_grade: int = Field(
        1, ge=1, description="Minimum grade of a relevant document, for `targets: judgements` and for `calibrate`."
    )
    workers: int = Field(2, ge=1, description="Number of training workers, one process each.")
    min_workers: int | None = Field(
        None,
        ge=1,
        description=(
            "Elastic training: continue with at least this many workers when nodes are lost, and add workers up to "
            "`workers` when nodes join. Null: always `workers`."
        ),
    )
    gpu: bool = Field(False, description="Assign one GPU to each worker.")
    zero_stage: Literal[0, 1, 2, 3] = Field(
        2, description="DeepSpeed ZeRO stage; higher stages shard more of the training state."
    )
    precision: Precision = Field("auto", description="Precision of training. `auto`: bf16 if supported natively.")
    offload: bool = Field(False, description="Keep the optimizer states in CPU memory.")
    activation_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass instead of storing them: less memory, slower."
    )
    epochs: int = Field(2, ge=1, description="Number of passes over the labels.")
    steps: int | None = Field(
        None, ge=1, description="Number of optimizer steps, overrides `epochs`. Null: the steps of `epochs`."
    )
    queries_per_step: int = Field(8, ge=1, description="Queries per optimizer step, summed over all workers.")
    max_tokens_per_microbatch: int = Field(
        16_384,
        ge=1,
        description=(
            "Maximum tokens per forward and backward pass of a worker. A step with more tokens accumulates gradients "
            "over several passes. A list is never split."
        ),
    )
    candidates_per_list: int | None = Field(
        None, ge=2, description="Number of candidates to sample from each list per epoch. Null: all."
    )
    missing: Literal["hard_negative", "append", "drop"] = Field(
        "hard_negative",
        description=(
            "How to treat documents that the teacher omitted. `hard_negative`: as labelled, one tier below the listed "
            "ones. `append`: listed last, in pre-ranking order. `drop`: exclude them from training."
        ),
    )
    max_pre_rank: int | None = Field(
        None, ge=1, description="Train only on candidates up to this pre-ranking position. Null: all."
    )
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    warmup_ratio: float = Field(
        0.1, ge=0, le=1, description="Fraction of the steps with a linearly rising learning rate."
    )
    dropout: float | None = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Dropout in all layers of the base; adapters use lora.dropout. Null: the values of the base's "
            "configuration. A base that already ranks gets worse with dropout (docs/experiments)."
        ),
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Maximum gradient norm; larger gradients are clipped.")
    freeze_embeddings: bool = Field(
        False, description="Do not train the base's token embeddings, which are half of a small encoder's weights."
    )
    confidence: ConfidenceSettings = ConfidenceSettings()
    score_scale: float | None = Field(
        None,
        gt=0,
        description=(
            "Factor of the teacher's scores in losses that match scores. Null: the factor in the manifest of the "
            "student's base, else 8, which turns a cosine into a logit from -8 to 8."
        ),
    )
    validation_fraction: float = Field(
        0.05,
        ge=0,
        lt=1,
        description=(
            "Fraction of the labelled queries to validate on instead of training: nDCG@10 over the whole candidate "
            "list. Chosen by a hash of the query id and queries.seed."
        ),
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between two validations and checkpoints. Null: one epoch."
    )
    patience: int | None = Field(
        None, ge=1, description="Stop after this many validations without improvement. Null: never."
    )
    calibrate: Literal["none", "auto", "judgements", "teacher"] = Field(
        "none",
        description=(
            "Calibrate the student's scores on the validation queries, so that their sigmoid is a probability of "
            "relevance: relevance by human `judgements` or by the `teacher`'s labels. `auto`: judgements if enough "
            "validation documents have them, else the teacher. `none`: keep the raw scores."
        ),
    )
    quantize: Literal["none", "int8"] = Field(
        "none",
        description=(
            "`int8`: also write an int8 model for CPUs, calibrated on the validation queries. It is used only if its "
            "nDCG@10 on these queries is not worse than without quantization by more than 0.005 (non-inferiority)."
        ),
    )
    max_restarts: int = Field(
        3, ge=0, description="Maximum number of restarts from the last checkpoint after workers are lost."
    )
    seed: int = Field(13, description="Seed of new weights, dropout, the order of lists and samples.")

    def optimizer_steps(self, lists: int) -> int:
        """Return the number of optimizer steps for `lists` lists. Lists that do not fill a step are skipped."""
        return self.steps or self.epochs * (lists // self.queries_per_step)

    def score_scale_for(self, base: str) -> float:
        """Return `score_scale`, or if it is not set, the one in the manifest of the base model, else the default."""
        if self.score_scale is not None:
            return self.score_scale
        manifest = manifest_of_model(base)
        return (manifest.score_scale if manifest else None) or DEFAULT_SCORE_SCALE

    @model_validator(mode="after")
    def _workers_fit(self) -> TrainingSettings:
        if self.queries_per_step < self.workers:
            raise ValueError(
                f"queries_per_step {self.queries_per_step} is less than one query per worker; "
                f"set it to {self.workers} or more, or lower workers"
            )
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers {self.min_workers} is more than workers ({self.workers})")
        return self

    @field_validator("labels", mode="before")
    @classmethod
    def _to_list(cls, value: object) -> object:
        return [] if value is None else [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_clicks(self) -> TrainingSettings:
        if self.clicks is not None and self.targets == "judgements":
            raise ValueError("clicks are mixed with a teacher's labels; remove clicks, or set targets to labels")
        return self

    @model_validator(mode="after")
    def _check_judgements(self) -> TrainingSettings:
        if self.labels and self.targets == "judgements":
            raise ValueError(
                "targets: judgements uses the judgements of this run's own query log, not those of another run; "
                "remove training.labels"
            )
        if self.labels and self.calibrate == "judgements":
            raise ValueError(
                "calibrate: judgements uses the judgements of this run's own query log, not those of another run; "
                "use calibrate: teacher, or remove training.labels"
            )
        return self
