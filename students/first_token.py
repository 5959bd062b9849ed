"""Compute a classifier's last layer only for the first token, [CLS], because the head reads no other token.

The last layer still computes the attention keys and values of all tokens, but queries, the attention output and the
feed-forward layers only for [CLS]. The scores stay the same. In a model with six layers this saves about a seventh of
the compute. Works for BERT and models with BERT's layers (MiniLM, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA). Other
architectures stay unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from torch import Tensor
from torch.nn import functional

from students.classifier import PairClassifier

_BERT_TYPES = {"bert", "camembert", "electra", "roberta", "xlm-roberta"}
"""Model types with BERT's encoder layer.

Other types have different layers with the same module names, for example with layer norm before the attention.
"""


def read_first_token_only(student: PairClassifier) -> None:
    """Make a student compute its last layer for the first token only. Unsupported architectures stay unchanged."""
    layer = _last_layer(student)
    if layer is not None:
        layer.forward = MethodType(_first_token_forward, layer)


@contextmanager
def first_token_only(student: PairClassifier) -> Iterator[None]:
    """Within a `with` block, make a student compute its last layer for the first token only."""
    layer = _last_layer(student)
    read_first_token_only(student)
    try:
        yield
    finally:
        if layer is not None:
            del layer.forward


def _last_layer(student: PairClassifier) -> Any:
    """Return the last encoder layer of a student, or None if its architecture is not supported."""
    layers = getattr(getattr(student.base, "encoder", None), "layer", None)
    if not layers or getattr(student.config, "is_decoder", False):
        return None
    absolute = getattr(student.config, "position_embedding_type", "absolute") == "absolute"
    return layers[-1] if absolute and student.config.model_type in _BERT_TYPES else None


def _first_token_forward(
    layer: Any, states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any
) -> Tensor:
    """Compute a BERT layer for the first token only. Replaces the layer's forward method.

    Args:
        layer: The BERT layer.
        states: Input states of the layer, [pairs, tokens, hidden].
        attention_mask: [pairs, 1, 1 or tokens, tokens].

    Returns:
        Output state of the first token, [pairs, 1, hidden].
    """
    attention, first = layer.attention.self, states[:, :1]
    query, key, value = (
        linear(inputs).unflatten(2, (-1, attention.attention_head_size)).transpose(1, 2)
        for linear, inputs in ((attention.query, first), (attention.key, states), (attention.value, states))
    )
    mask = None if attention_mask is None else attention_mask[:, :, :1]
    dropout = attention.dropout.p if layer.training else 0.0
    context = functional.scaled_dot_product_attention(query, key, value, mask, dropout, scale=attention.scaling)
    return layer.feed_forward_chunk(layer.attention.output(context.transpose(1, 2).flatten(2), first))  # type: ignore[no-any-return]
