"""Settings of the students and of their training. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ranking.settings import Settings

Match = Literal["token", "word"]
"""What Token Selection compares."""

Precision = Literal["auto", "fp32", "bf16"]
"""`auto`: bf16 where the hardware computes it natively, else fp32."""


class TermControlSettings(Settings):
    """The Term Control Layer, in training only: a second score that reads the document tokens which the query holds too."""

    form: Literal["none", "layer", "gated"] = Field(
        "none",
        description="`layer`: a Transformer layer over [CLS] and the selected states. `gated`: a gated residual of their mean into [CLS].",
    )
    weight: float = Field(0.5, gt=0, description="Lambda: weight of the term score's loss.")
    match: Match = Field(
        "token", description="What is compared with the query: each `token`, or the whole `word` that it is part of."
    )
    max_document_frequency: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Select only rare terms: those that occur in at most this share of the collection's documents.",
    )
    layer: int = Field(-1, description="Encoder layer whose states are read; -1 is the last, 0 the embeddings.")
    schedule: Literal["constant", "linear"] = Field(
        "constant",
        description="Lambda during training: `constant`, or `linear` from `weight` down to 0 at the last step.",
    )

    def weight_at(self, progress: float) -> float:
        """Lambda when this share of the steps, 0 to 1, is done."""
        return self.weight * (1.0 - progress if self.schedule == "linear" else 1.0)

    @model_validator(mode="after")
    def _gate_reads_the_last_layer(self) -> TermControlSettings:
        if self.form == "gated" and self.layer != -1:
            raise ValueError(f"the gated form changes what the head reads, so layer must be -1, not {self.layer}")
        return self


class BlendSettings(Settings):
    """Blending of the student's score with the first stage's, in evaluation and serving; see `ranking.blending`."""

    form: Literal["auto", "scores", "ranks", "none"] = Field(
        "auto",
        description="How the first stage counts: by its `scores`, by the reciprocal of its `ranks`, `none` for the student alone. `auto`: "
        "the better one on the validation queries.",
    )
    weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Weight of the student, the first stage has the rest. Null: fitted on the validation queries.",
    )

    @model_validator(mode="after")
    def _weight_has_a_form(self) -> BlendSettings:
        if self.weight is not None and self.form not in ("scores", "ranks"):
            raise ValueError(f"weight {self.weight:g} needs form: scores or ranks, not {self.form}")
        return self


class RraBertSettings(Settings):
    """RRA-BERT: a cross-encoder over [CLS] query [SEP] document [SEP]."""

    learns_from_rationales: ClassVar[bool] = False
    """Whether rationales are part of what it is trained on."""

    name: str = Field(
        "rra-bert", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the student, used for folders."
    )
    kind: Literal["rra_bert"] = "rra_bert"
    base: str = Field(
        "minilm-cross",
        description="Encoder to start from, best a cross-encoder: `minilm-cross`, `minilm`, a folder or a Hugging Face id.",
    )
    term_control: TermControlSettings = TermControlSettings()
    blend: BlendSettings = BlendSettings()
    precision: Precision = Field(
        "auto", description="Precision of its scoring, in evaluation and in the service alike."
    )
    max_length: int = Field(160, ge=16, description="Tokens of query and document together; the document is cut.")


class LoraSettings(Settings):
    """Low-rank adapters on every linear layer of a decoder (Hu et al., 2021); merged into its weights at the end."""

    rank: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: float = Field(32.0, gt=0, description="The adapters' part is multiplied by alpha / rank.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the adapters.")


class RraGptSettings(Settings):
    """RRA-GPT: a decoder with a ranking layer on the last prompt token; it learns to say whether and why, and serves the score."""

    learns_from_rationales: ClassVar[bool] = True

    name: str = Field(
        "rra-gpt", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the student, used for folders."
    )
    kind: Literal["rra_gpt"] = "rra_gpt"
    base: str = Field(description="Decoder to start from: a folder or a Hugging Face id.")
    label_weight: float = Field(0.5, ge=0, description="Weight of the cross-entropy of the label word. 0: not learned.")
    rationale_weight: float = Field(
        0.2, ge=0, description="Weight of the cross-entropy of the rationale's tokens. 0: not learned."
    )
    max_rationale_tokens: int = Field(96, ge=1, description="Tokens of a rationale that are learned at most.")
    lora: LoraSettings | None = Field(
        None, description="Learn low-rank adapters and the ranking layer only. Null: all weights."
    )
    blend: BlendSettings = BlendSettings()
    precision: Precision = Field(
        "auto", description="Precision of its scoring, in evaluation and in the service alike."
    )
    max_length: int = Field(320, ge=32, description="Tokens of the prompt; the document is cut.")


StudentSettings = Annotated[RraBertSettings | RraGptSettings, Field(discriminator="kind")]


class ConfidenceSettings(Settings):
    """What is made of a label's confidence. A label without one was asked for once, and counts as one of confidence 1."""

    weight: bool = Field(False, description="Multiply a list's part of the loss by its label's confidence.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Leave out labels of a lower confidence.")


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
    """How every student is trained."""

    loss: LossName = Field(
        "auto",
        description="Loss over a list. `auto`: ranknet for an order, score_distillation for scores, info_nce for judgements.",
    )
    targets: Literal["labels", "judgements"] = Field(
        "labels",
        description="What is learned from. `labels`: the teacher. `judgements`: the collection's qrels for the log's queries, over the "
        "labels' candidates: the supervised control.",
    )
    labels: list[str] = Field(
        default_factory=list,
        description="Folder of another run, a path or URI, or a list of them: learn from their labels, and from their rationales where the "
        "student does. Empty: this run's own labels.",
    )
    relevant_grade: int = Field(1, ge=1, description="The lowest grade of `judgements` that counts as relevant.")
    workers: int = Field(2, ge=1, description="Training workers, one process each.")
    min_workers: int | None = Field(
        None,
        ge=1,
        description="Go on with as few workers where nodes are lost, and take in more as they come, up to `workers`. Null: `workers`.",
    )
    gpu: bool = Field(False, description="Give every worker a GPU.")
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="DeepSpeed ZeRO stage.")
    precision: Precision = Field("auto", description="Precision of the training step.")
    offload: bool = Field(False, description="Keep optimizer states in the processor's memory.")
    activation_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them: less memory, slower."
    )
    epochs: int = Field(2, ge=1, description="Passes over the labels.")
    steps: int | None = Field(
        None, ge=1, description="Optimizer steps, over as many passes as that takes. Null: those of `epochs`."
    )
    queries_per_step: int = Field(8, ge=1, description="Queries per optimizer step, over all workers.")
    max_tokens_per_microbatch: int = Field(
        16_384,
        ge=1,
        description="Tokens of a worker that are held for one backward pass; more lists of a step go through the model in turns. "
        "A list is never divided.",
    )
    candidates_per_list: int | None = Field(
        None, ge=2, description="Sample this many candidates of each list per epoch. Null: all."
    )
    missing: Literal["hard_negative", "append", "drop"] = Field(
        "hard_negative",
        description="What documents are that the teacher left out: as labelled, a tier below; `append`: listed last, as pre-ranked; "
        "`drop`: not learned from.",
    )
    max_pre_rank: int | None = Field(
        None, ge=1, description="Learn only from candidates up to this place of the pre-ranker. Null: all."
    )
    learning_rate: float = Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    warmup_ratio: float = Field(0.1, ge=0, le=1, description="Share of the steps with a rising learning rate.")
    dropout: float | None = Field(
        0.0,
        ge=0,
        lt=1,
        description="Dropout in training, in all layers of the base; adapters have lora.dropout. Null: as in the base's configuration. A "
        "base that already ranks gets worse with dropout (docs/log.md).",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    freeze_embeddings: bool = Field(
        False, description="Keep the base's token embeddings as they are: half of a small encoder's weights."
    )
    confidence: ConfidenceSettings = ConfidenceSettings()
    score_scale: float = Field(
        8.0,
        gt=0,
        description="Teacher scores are multiplied by this before they are matched; minilm-cross has logits of 8 a cosine.",
    )
    validation_fraction: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Share of the labelled queries to validate on instead of training: nDCG@10 over the whole candidate list. Chosen by a "
        "hash of the query id and queries.seed.",
    )
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between validations and checkpoints. Null: an epoch."
    )
    patience: int | None = Field(
        None, ge=1, description="Stop after so many validations without a better one. Null: never."
    )
    max_restarts: int = Field(
        3, ge=0, description="How often workers that were lost are started again, from the last checkpoint."
    )
    seed: int = Field(13, description="Seed of weights, order and samples.")

    def steps_over(self, lists: int) -> int:
        """Optimizer steps over so many lists. What is left over of an epoch waits for the next one's order."""
        return self.steps or self.epochs * (lists // self.queries_per_step)

    @field_validator("labels", mode="before")
    @classmethod
    def _one_run_is_a_list(cls, value: object) -> object:
        return [] if value is None else [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _judgements_are_of_the_own_log(self) -> TrainingSettings:
        if self.labels and self.targets == "judgements":
            raise ValueError(
                "targets: judgements are those of this run's own log, so labels of another run cannot stand beside them"
            )
        return self
