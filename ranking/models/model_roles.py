"""Whether a model's head and labels fit the role that a run uses the model in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ranking.errors import InputError
from ranking.models.weight_files import Shapes

Role = Literal["score", "generate", "embed", "base"]
"""How a run uses a model.

`score`: a cross-encoder whose only logit is the score. `generate`: a language model. `embed`: a text encoder. `base`: a
pretrained model that a student is built from, which may have any head, because it gets a new one.
"""

_CLASSIFIES = ("ForSequenceClassification",)
_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_NO_TEXT_VECTORS = (*_CLASSIFIES, "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
_OUTSIDE_LAYERS = r"^([^.\d][^.]*\.)*"
"""Start of the names of tensors that are not in a numbered layer, where a router may be named like a head."""
_CLASSIFICATION_HEAD = re.compile(
    rf"{_OUTSIDE_LAYERS}(classifier|classification_head|score|logits_proj|sequence_summary)\."
)
_LANGUAGE_HEAD = re.compile(rf"{_OUTSIDE_LAYERS}(lm_head|embed_out|output_layer|output)\.")
_SENTENCE_ENCODER = "SentenceTransformer"


@dataclass(frozen=True)
class ModelOutline:
    """What a model's configuration and weight headers say about it.

    Attributes:
        architectures: Names of its classes in transformers.
        labels: Names of the labels of its classifier. Without a classifier, they have no meaning.
        tied: Whether the language-model head shares the weights of the embeddings.
        shapes: Shapes of its tensors; None if unknown.
        library_type: Kind of model in sentence-transformers, such as `SentenceTransformer`; None if it was not saved by
            that library.
    """

    architectures: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tied: bool = True
    shapes: Shapes | None = None
    library_type: str | None = None

    def is_a(self, suffixes: Sequence[str]) -> bool:
        """Return whether the name of one of its classes ends with one of some suffixes."""
        return any(name.endswith(tuple(suffixes)) for name in self.architectures)

    @property
    def name(self) -> str:
        """Its class, for error messages."""
        return self.architectures[0] if self.architectures else "no architecture in config.json"


def check_role(outline: ModelOutline, role: Role, where: str, advice: str = "") -> None:
    """Check that a model fits its role.

    Args:
        outline: The model.
        role: How the run uses it.
        where: Start of error messages; names the model.
        advice: What to do with a language model in the role `score`.

    Raises:
        InputError: The model does not fit.
    """
    if role == "score":
        _check_one_label(outline, where, advice)
    elif role == "generate":
        _check_language_model(outline, where)
    elif role == "embed":
        _check_encoder(outline, where)


def is_classification_head(tensor: str) -> bool:
    """Return whether the name of a tensor is that of a part of a classification head."""
    return bool(_CLASSIFICATION_HEAD.match(tensor))


def _check_one_label(outline: ModelOutline, where: str, advice: str) -> None:
    heads = _outputs(outline)
    if not outline.is_a(_CLASSIFIES) and not heads:
        if outline.is_a(_GENERATES):
            raise InputError(
                f"{where}: is a language model ({outline.name}) without a classification head, "
                f"so its scores would be random; {advice or 'choose a cross-encoder with one label'}"
            )
        raise InputError(
            f"{where}: has no classification head ({outline.name}), so its scores would be random; "
            "choose a trained cross-encoder with one label"
        )
    if len(outline.labels) != 1:
        raise InputError(
            f"{where}: has {len(outline.labels)} labels ({', '.join(outline.labels[:3])}), and it is unknown which of "
            "them means relevant; choose a cross-encoder with one label"
        )
    if heads is not None and 1 not in heads and None not in heads:
        found = (
            f"its classification head has {heads[-1]} outputs" if heads else "its weights have no classification head"
        )
        raise InputError(
            f"{where}: {found}, but config.json says one label, so its scores would be random; "
            "choose a trained cross-encoder with one label"
        )


def _outputs(outline: ModelOutline) -> list[int | None] | None:
    """Return the number of outputs of each layer of the classification head; None if the weights are unknown."""
    if outline.shapes is None:
        return None
    return [
        shape[0] if shape else None
        for name, shape in outline.shapes.items()
        if is_classification_head(name) and name.endswith("weight") and (shape is None or len(shape) == 2)
    ]


def _check_language_model(outline: ModelOutline, where: str) -> None:
    if not outline.is_a(_GENERATES):
        raise InputError(
            f"{where}: is not a language model ({outline.name}); choose one whose architecture in config.json ends "
            "with ForCausalLM or ForConditionalGeneration"
        )
    shapes = outline.shapes
    if shapes is not None and not outline.tied and not any(_LANGUAGE_HEAD.match(name) for name in shapes):
        raise InputError(
            f"{where}: its weights have no language-model head (lm_head), so its answers would be random; "
            "save the whole model, or set tie_word_embeddings in config.json if the head shares the embeddings"
        )


def _check_encoder(outline: ModelOutline, where: str) -> None:
    if outline.is_a(_NO_TEXT_VECTORS) or outline.library_type == "CrossEncoder":
        raise InputError(
            f"{where}: is a model with a classification head ({outline.name}) and has no embeddings of texts; "
            "choose a sentence encoder"
        )
    if outline.library_type == "SparseEncoder":
        raise InputError(f"{where}: is a sparse encoder; choose a sentence encoder with dense embeddings")
    if outline.is_a(_GENERATES) and outline.library_type != _SENTENCE_ENCODER:
        raise InputError(
            f"{where}: is a language model ({outline.name}) without pooling; "
            "choose a sentence encoder, which has the file modules.json"
        )
