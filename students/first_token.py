"""The last layer of a classifier for the first token alone: its head reads no other.

Keys and values of the last layer are of all tokens; queries, what comes after attention and the two layers behind that are
computed for [CLS] only. Scores are the same; of a model with six layers about a seventh of the work goes away. For BERT and what
has its layers (MiniLM, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA); other architectures stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from torch import Tensor
from torch.nn import functional

from students.classifier import PairClassifier

_OF_BERT = {"bert", "camembert", "electra", "roberta", "xlm-roberta"}
"""Model types with BERT's own layer; others have modules of the same names, but a layer norm before attention, say."""


def read_first_token_only(student: PairClassifier) -> None:
    """Compute no other token in the last layer; no-op where the architecture does not allow it."""
    layer = _last_layer(student)
    if layer is not None:
        layer.forward = MethodType(_of_first_token, layer)


@contextmanager
def first_token_only(student: PairClassifier) -> Iterator[None]:
    """The same for a while."""
    layer = _last_layer(student)
    read_first_token_only(student)
    try:
        yield
    finally:
        if layer is not None:
            del layer.forward


def _last_layer(student: PairClassifier) -> Any:
    """None where there is none that could be computed so."""
    layers = getattr(getattr(student.base, "encoder", None), "layer", None)
    if not layers or getattr(student.config, "is_decoder", False):
        return None
    plain = getattr(student.config, "position_embedding_type", "absolute") == "absolute"
    return layers[-1] if plain and student.config.model_type in _OF_BERT else None


def _of_first_token(layer: Any, states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """states: [pairs, tokens, hidden]. attention_mask: [pairs, 1, 1 or tokens, tokens]. Returns [pairs, 1, hidden]."""
    attention, first = layer.attention.self, states[:, :1]
    query, key, value = (
        linear(held).unflatten(2, (-1, attention.attention_head_size)).transpose(1, 2)
        for linear, held in ((attention.query, first), (attention.key, states), (attention.value, states))
    )
    mask = None if attention_mask is None else attention_mask[:, :, :1]
    dropped = attention.dropout.p if layer.training else 0.0
    read = functional.scaled_dot_product_attention(query, key, value, mask, dropped, scale=attention.scaling)
    return layer.feed_forward_chunk(layer.attention.output(read.transpose(1, 2).flatten(2), first))  # type: ignore[no-any-return]
