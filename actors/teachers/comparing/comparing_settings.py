"""Settings of the teachers whose model compares a few documents per prompt: pairwise and setwise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from actors.vllm.engine_dtype import engine_with_dtype
from ranking.model_paths import manifest_of_model
from ranking.prompts.choice_prompts import PAIRWISE, SETWISE
from ranking.settings import REVISION, EngineArguments, Revision, Settings


class ComparingTeacherSettings(Settings):
    """Settings that pairwise and setwise teachers share. Their prompts name the documents A, B, C, ..."""

    kind: str
    model: str = Field(description="Generative model with a chat template: a folder or a Hugging Face id.")
    revision: Revision = Field(None, description=REVISION)
    engine: EngineArguments = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description=(
            "Arguments of the vLLM engine. On a CPU, dtype `auto` is bf16 if the CPU supports it natively, else fp32."
        ),
    )
    prompt: str | None = Field(
        None,
        description="Prompt file with the parts system, opening, document, closing. Null: the built-in prompt.",
    )
    answer: Literal["letter", "logprobs", "text"] = Field(
        "letter",
        description=(
            "`letter`: decoding is constrained to one letter. `logprobs`: the log-probabilities of the letters are "
            "compared, which shows how sure the model is. `text`: unconstrained text, of which only a letter, possibly "
            "after words such as `Answer:`, is usable."
        ),
    )
    missing: Literal["hard_negative", "append"] = Field(
        "hard_negative",
        description=(
            "How to label documents that a sort leaves out, because it only finds the best ones. `hard_negative`: as "
            "negatives below all listed documents (easy negatives if they are from the pre-ranker's tail). `append`: "
            "as listed last, in pre-ranking order or as the sliding passes leave them."
        ),
    )
    max_document_tokens: int = Field(
        200, ge=8, description="Maximum tokens per document; fewer if the prompt would exceed the model's context."
    )
    seed: int = Field(13, description="Seed of the sparse pairs and of the prompt orders.")

    @model_validator(mode="after")
    def _apply_manifest(self) -> ComparingTeacherSettings:
        self.engine = engine_with_dtype(self.model, self.engine)
        manifest = manifest_of_model(self.model)
        if manifest and manifest.prompt and self.prompt is None:
            raise ValueError(
                f"model {self.model!r} was trained with the prompt {manifest.prompt!r} and cannot compare documents; "
                "use kind: listwise, or set prompt"
            )
        return self

    @property
    def prompt_file(self) -> Path:
        """Path of the prompt file: `prompt` if set, else the built-in one."""
        return Path(self.prompt) if self.prompt else self.built_in_prompt

    @property
    def built_in_prompt(self) -> Path:
        """Path of the built-in prompt."""
        raise NotImplementedError


class PairwiseTeacherSettings(ComparingTeacherSettings):
    """A language model in vLLM that compares two documents at a time, in both orders."""

    kind: Literal["pairwise"] = "pairwise"
    method: Literal["pairs", "sliding"] = Field(
        "pairs",
        description=(
            "`pairs`: compare the pairs that `pairs` selects, all concurrently, and compute scores from the results. "
            "`sliding`: PRP's sliding passes, a baseline with sequential comparisons, which gives an order."
        ),
    )
    pairs: Literal["all"] | int = Field(
        "all",
        description="For `pairs`: `all` pairs, or the pairs per document, 2 or more, of a random connected graph.",
    )
    scores: Literal["bradley_terry", "win_rate"] = Field(
        "bradley_terry",
        description=(
            "For `pairs`: score of a document. `bradley_terry`: strength in the Bradley-Terry model, on the scale of "
            "log-odds. `win_rate`: share of its comparisons that it wins, which is only comparable with `pairs: all`."
        ),
    )
    passes: int = Field(
        10, ge=1, description="For `sliding`: number of passes; each finds the next best document, from the first on."
    )

    @model_validator(mode="after")
    def _check_pairs(self) -> PairwiseTeacherSettings:
        if self.pairs != "all" and self.pairs < 2:
            raise ValueError(f"pairs must be all or a number from 2 on, which connects all documents, not {self.pairs}")
        return self

    @property
    def built_in_prompt(self) -> Path:
        """Path of the built-in prompt."""
        return PAIRWISE


class SetwiseTeacherSettings(ComparingTeacherSettings):
    """A language model in vLLM that picks the best of a few documents, with which a heap finds the best of a list."""

    kind: Literal["setwise"] = "setwise"
    size: int = Field(4, ge=3, le=26, description="Documents per prompt.")
    top: int = Field(10, ge=1, description="Number of best documents to find and order.")
    max_attempts: int = Field(
        3, ge=1, description="Maximum number of prompts per comparison, each with its documents reshuffled."
    )

    @property
    def built_in_prompt(self) -> Path:
        """Path of the built-in prompt."""
        return SETWISE
