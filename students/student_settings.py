"""Settings of the students. Does not import torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ranking.settings import REVISION, Revision, Settings

Match = Literal["token", "word"]
"""Unit that Token Selection compares between query and document."""

Precision = Literal["auto", "fp32", "bf16"]
"""`auto`: bf16 if the hardware supports it natively, else fp32."""

ScoringPrecision = Literal["auto", "fp32", "bf16", "int8"]
"""Precision of a saved student. `auto`: int8 if the student has an accepted int8 file and the CPU supports it."""


class TermControlSettings(Settings):
    """The Term Control Layer: a second score in training, from the document tokens that also occur in the query."""

    form: Literal["none", "layer", "gated"] = Field(
        "none",
        description=(
            "`none`: no layer. `layer`: a Transformer layer over [CLS] and the states of the selected tokens. `gated`: "
            "a gated residual that adds their mean to [CLS]."
        ),
    )
    weight: float = Field(0.5, gt=0, description="Lambda, the weight of the term score's loss.")
    match: Match = Field(
        "token", description="Unit to compare with the query: each `token`, or the whole `word` that it is part of."
    )
    max_document_frequency: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Select only rare terms: those that occur in at most this fraction of the collection's documents.",
    )
    layer: int = Field(
        -1, description="Encoder layer to read states from: 0 for the embeddings, -1 for the last layer."
    )
    schedule: Literal["constant", "linear"] = Field(
        "constant",
        description="Lambda during training: `constant`, or `linear` from `weight` to 0 at the last step.",
    )

    def weight_at(self, progress: float) -> float:
        """Return lambda after the completed fraction `progress` of the training steps, 0 to 1."""
        return self.weight * (1.0 - progress if self.schedule == "linear" else 1.0)

    @model_validator(mode="after")
    def _check_layer(self) -> TermControlSettings:
        if self.form == "gated" and self.layer != -1:
            raise ValueError(f"form: gated changes the input of the head, so layer must be -1, not {self.layer}")
        return self


class BlendSettings(Settings):
    """Blending of the student's score with the first stage's, in evaluation and serving (`ranking.blending`)."""

    form: Literal["auto", "scores", "ranks", "none"] = Field(
        "auto",
        description=(
            "Use the first stage's `scores`, the reciprocal of its `ranks`, or `none` for the student alone. `auto`: "
            "the best on the validation queries."
        ),
    )
    weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description=(
            "Weight of the student; the first stage has 1 minus this weight. Null: fitted on the validation queries."
        ),
    )

    @model_validator(mode="after")
    def _check_weight(self) -> BlendSettings:
        if self.weight is not None and self.form not in ("scores", "ranks"):
            raise ValueError(f"weight {self.weight:g} needs form: scores or form: ranks, not {self.form}")
        return self


class StudentDistillationSettings(Settings):
    """Distillation of a student from another student of the run, which is trained first."""

    student: str = Field(description="Name of the student to learn from, usually a larger one.")
    loss: Literal["margin_mse", "listwise_kl", "score_distillation"] = Field(
        "listwise_kl", description="Loss between the scores of the two students, over the documents of a list."
    )
    weight: float = Field(
        0.5, gt=0, le=1, description="Weight of this loss. The ranking loss on the labels has 1 minus this weight."
    )


class RraBertSettings(Settings):
    """RRA-BERT: a cross-encoder over [CLS] query [SEP] document [SEP]."""

    learns_from_rationales: ClassVar[bool] = False
    """Whether this kind of student is trained on rationales."""

    name: str = Field(
        "rra-bert", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the student and of its folder."
    )
    kind: Literal["rra_bert"] = "rra_bert"
    base: str = Field(
        "minilm-cross",
        description=(
            "Encoder to start from, preferably a cross-encoder: `minilm-cross`, `minilm`, a folder or a Hugging Face "
            "id."
        ),
    )
    revision: Revision = Field(None, description=REVISION)
    layers: int | None = Field(
        None,
        ge=2,
        description=(
            "Number of the base's Transformer layers to keep: evenly spaced, the first and the last included. "
            "Null: all."
        ),
    )
    distillation: StudentDistillationSettings | None = Field(
        None, description="Learn also from the scores of another student. Null: only from the labels."
    )
    term_control: TermControlSettings = TermControlSettings()
    blend: BlendSettings = BlendSettings()
    precision: Precision = Field(
        "auto",
        description=(
            "Precision of scoring, in evaluation and serving. `auto`: int8 if `training.quantize` was accepted and the "
            "CPU supports it, else bf16 if supported natively."
        ),
    )
    max_length: int = Field(
        160, ge=16, description="Maximum tokens of query and document; the longer text is truncated."
    )


class LoraSettings(Settings):
    """LoRA adapters on every linear layer of a decoder (Hu et al., 2021), merged into its weights after training."""

    rank: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: float = Field(32.0, gt=0, description="The output of the adapters is scaled by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the input of the adapters.")


class RraGptSettings(Settings):
    """RRA-GPT: a decoder with a ranking layer on the last prompt token.

    In training it also predicts a label word and a rationale; only the score is served.
    """

    learns_from_rationales: ClassVar[bool] = True

    name: str = Field(
        "rra-gpt", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the student and of its folder."
    )
    kind: Literal["rra_gpt"] = "rra_gpt"
    base: str = Field(description="Decoder to start from: a folder or a Hugging Face id.")
    revision: Revision = Field(None, description=REVISION)
    label_weight: float = Field(0.5, ge=0, description="Weight of the label word's cross-entropy. 0: not trained.")
    rationale_weight: float = Field(
        0.2, ge=0, description="Weight of the cross-entropy of the rationale's tokens. 0: not trained."
    )
    max_rationale_tokens: int = Field(96, ge=1, description="Maximum tokens of a rationale; longer ones are truncated.")
    lora: LoraSettings | None = Field(
        None, description="Train only LoRA adapters and the ranking layer. Null: train all weights."
    )
    blend: BlendSettings = BlendSettings()
    precision: Precision = Field(
        "auto", description="Precision of scoring, in evaluation and serving. `auto`: bf16 if supported natively."
    )
    max_length: int = Field(320, ge=32, description="Maximum tokens of the prompt; the longer text is truncated.")


StudentSettings = Annotated[RraBertSettings | RraGptSettings, Field(discriminator="kind")]
