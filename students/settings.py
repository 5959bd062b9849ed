"""Settings of the students and of their training. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ranking.settings import Settings

Precision = Literal["auto", "fp32", "bf16"]
"""`auto`: bf16 where the hardware computes it natively, else fp32."""


class RraBertSettings(Settings):
    """RRA-BERT: a cross-encoder over [CLS] query [SEP] document [SEP]."""

    learns_from_reasons: ClassVar[bool] = False
    """Whether reasons are part of what it is trained on."""

    name: str = Field("rra-bert", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the student, used for folders.")
    kind: Literal["rra_bert"] = "rra_bert"
    base: str = Field("minilm", description="Encoder to start from: `minilm`, a folder or a Hugging Face id.")
    head: Literal["cls", "interaction"] = Field(
        "interaction", description="`cls`: linear on [CLS]. `interaction`: for bases that are sentence encoders."
    )
    precision: Precision = Field("auto", description="Precision of its scoring, in evaluation and in the service alike.")
    max_length: int = Field(160, ge=16, description="Tokens of query and document together; the document is cut.")


StudentSettings = Annotated[RraBertSettings, Field()]


class ConfidenceSettings(Settings):
    """What is made of a label's confidence. A label without one was asked for once, and counts as one of confidence 1."""

    weight: bool = Field(False, description="Multiply a list's part of the loss by its label's confidence.")
    at_least: float = Field(0.0, ge=0, le=1, description="Leave out labels of a lower confidence.")


class TrainingSettings(Settings):
    """How every student is trained."""

    workers: int = Field(2, ge=1, description="Training workers, one process each.")
    gpu: bool = Field(False, description="Give every worker a GPU.")
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="DeepSpeed ZeRO stage.")
    precision: Precision = Field("auto", description="Precision of the training step.")
    epochs: int = Field(2, ge=1, description="Passes over the labels.")
    lists_per_step: int = Field(8, ge=1, description="Queries per optimizer step, over all workers.")
    candidates_per_list: int | None = Field(None, ge=2, description="Sample this many candidates of each list per epoch. Null: all.")
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    warmup: float = Field(0.1, ge=0, le=1, description="Share of the steps with a rising learning rate.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    freeze_embeddings: bool = Field(False, description="Keep the base's token embeddings as they are: half of a small encoder's weights.")
    confidence: ConfidenceSettings = ConfidenceSettings()
    score_scale: float = Field(20.0, gt=0, description="Teacher scores are multiplied by this before they are matched.")
    seed: int = Field(13, description="Seed of weights, order and samples.")
