"""Construct the two layers after the encoder's: one scores the documents, one selects the next document."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tools.constructed_weights import write_product
from tools.list_decoder.encoder_layers import COPY_SCALE, compare_codes, detect_code
from tools.list_decoder.state_layout import AXES, BITS, MAX_DOCUMENTS, ON, StateDimensions

CHANNEL = ON * COPY_SCALE / 3
"""Value of a channel that is on, in these two layers. Large enough to remain readable next to the means."""

_POOL_SEPARATION = 4.0
"""In the pooling heads, each bit in which two codes differ lowers the attention logit by twice this value."""

_HIDE = 1.0
"""Reduction of a hidden token's attention logit, per unit of difference between its channel and one that is on."""

_GATE = 30.0
"""Reduction of the attention logit of tokens other than [DOC] and [CLS], in the last layer."""

_GAIN = 7.5 / ON
"""Gain of the hidden units that detect a code. Large enough for gelu to act as either zero or the identity."""

_EXCLUDE = 20.0
"""Reduction of the attention logit of a document that is already listed."""

LOGITS_PER_SCORE = 4.0
"""Attention logit per unit of the score, in the last layer."""


def write_pooling(layer: Any, dims: StateDimensions, axes: Tensor, offset: Tensor) -> None:
    """Write the attention of the scoring layer.

    Five heads average the states of the query, five those of the document, both projected onto the axes. One head
    collects the identifiers that the answer has listed so far, with equal weights.

    Args:
        layer: The decoder layer, changed in place.
        dims: Layout of the state.
        axes: Axes to project onto, [AXES, dimensions].
        offset: Added to the projected means, [AXES].
    """
    _clear(layer)
    attention, size = layer.self_attn, layer.self_attn.head_dim
    heads = AXES // size
    for head in range(heads):
        _hide_tokens(attention, head * size, dims, dims.query)
        _hide_tokens(attention, head * size + 1, dims, dims.document, -1.0)
        row = (heads + head) * size
        compare_codes(attention, row, dims, _POOL_SEPARATION, CHANNEL)
        _hide_tokens(attention, row + BITS + 1, dims, dims.document, -1.0)
    for start in (0, AXES):
        rows = slice(start, start + AXES)
        attention.v_proj.weight[rows], attention.v_proj.bias[rows] = COPY_SCALE * axes, COPY_SCALE * offset
        attention.out_proj.weight[dims.means[rows], rows] = torch.eye(AXES)
    _hide_tokens(attention, 2 * AXES, dims, dims.answer)
    for row, dimension in enumerate(dims.blank, start=2 * AXES):
        attention.v_proj.weight[row, dimension] = COPY_SCALE
        attention.out_proj.weight[dimension, row] = 1.0
    layer.self_attn_layer_norm.weight[_written_dimensions(dims)] = 0


def _written_dimensions(dims: StateDimensions) -> list[int]:
    """Return the dimensions that the scoring layer writes in addition to the means."""
    return [*dims.identifier, *dims.score, dims.other, dims.form, dims.first, dims.zero]


def _clear(layer: Any) -> None:
    """Set all weights of a layer to zero, except for its norms."""
    attention = layer.self_attn
    for dense in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj, layer.fc1, layer.fc2):
        dense.weight.zero_()
        dense.bias.zero_()


def _hide_tokens(attention: Any, row: int, dims: StateDimensions, channel: int, sign: float = 1.0) -> None:
    """Use a row of a head to hide tokens whose channel is off (sign 1) or on (sign -1). Other logits do not change."""
    attention.q_proj.bias[row] = attention.head_dim**0.5
    attention.k_proj.weight[row, channel] = sign * _HIDE
    attention.k_proj.weight[row, dims.one] = -_HIDE


def write_scoring(layer: Any, dims: StateDimensions) -> None:
    """Write the hidden units of the scoring layer.

    They multiply the two means to get the score, write the identifier of the document that a [DOC] ends, mark other
    tokens, and select between first and later tokens of an answer.
    """
    inner, outer = layer.fc1, layer.fc2
    write_product(inner, outer, dims.means[:AXES], dims.means[AXES:], (dims.score[0], dims.score[1]))
    for number, dimension in enumerate(dims.identifier):
        detect_code(inner, 4 * AXES + number, dims, number, dims.document, dims.answer, _GAIN)
        outer.weight[dimension, 4 * AXES + number] = 1.0
    no_document, first, in_answer = (4 * AXES + MAX_DOCUMENTS + 1 + number for number in range(3))
    inner.weight[no_document, dims.document] = -10.0 / ON
    outer.weight[dims.other, no_document] = 1.0
    detect_code(inner, first, dims, MAX_DOCUMENTS + 1, dims.answer, dims.query, _GAIN)
    outer.weight[[dims.first, dims.form], first] = 1.0
    inner.weight[in_answer, dims.answer] = 10.0 / ON
    outer.weight[dims.form, in_answer] = -0.5


def write_selection(layer: Any, dims: StateDimensions) -> None:
    """Write the last layer: one head that selects the next document.

    The dimensions of the head contain the identifiers to exclude (the listed documents; before the first document, also
    the end of the list), the score, the threshold, and a mask of tokens other than [DOC] and [CLS]. `fit_scores` sets
    the weights of score and threshold.
    """
    _clear(layer)
    attention = layer.self_attn
    for number, dimension in enumerate(dims.identifier):
        excluded, reference = (dims.listed[number - 1], dims.unlisted) if number else (dims.first, dims.zero)
        attention.q_proj.weight[number, excluded], attention.q_proj.weight[number, reference] = -_EXCLUDE, _EXCLUDE
        for dense in (attention.k_proj, attention.v_proj):
            dense.weight[number, dimension], dense.weight[number, dims.zero] = 1.0, -1.0
        attention.out_proj.weight[dimension, number] = COPY_SCALE
    row = MAX_DOCUMENTS + 3
    attention.q_proj.bias[row] = attention.head_dim**0.5
    attention.k_proj.weight[row, dims.other], attention.k_proj.weight[row, dims.zero] = -_GATE, _GATE


def raw_scores(states: Tensor, dims: StateDimensions) -> Tensor:
    """Read unscaled scores from the states of [DOC] tokens.

    Args:
        states: Output of the second to last layer, [..., dimensions].
        dims: Layout of the state.

    Returns:
        Scores before scale and shift, [...].
    """
    return states[..., dims.score[0]] - states[..., dims.score[1]]


@torch.no_grad()
def fit_scores(decoder: Any, dims: StateDimensions, begin: int, scale: float, shift: float, threshold: float) -> None:
    """Set scale, shift and threshold of the scores in the last layer.

    Args:
        decoder: The decoder, changed in place.
        dims: Layout of the state.
        begin: Id of the token [CLS].
        scale: Factor: a document's score is scale * raw score + shift.
        shift: Offset, see `scale`.
        threshold: The list ends when no unlisted document has a higher score.
    """
    body = decoder.model.decoder
    scale = float(torch.tensor(scale).bfloat16())  # round to the precision of the saved model
    state = (body.embed_tokens.weight[begin] + body.embed_positions.weight[body.embed_positions.offset])[None, None]
    for layer in body.layers[:-1]:
        state = layer(state)
    attention = body.layers[-1].self_attn
    row, logits = MAX_DOCUMENTS + 1, LOGITS_PER_SCORE * attention.head_dim**0.5
    attention.q_proj.bias[row] = logits
    attention.k_proj.weight[row, dims.score] = torch.tensor([scale, -scale])
    above = threshold - shift - scale * float(raw_scores(state[0, 0], dims))
    attention.q_proj.bias[row + 1] = logits * above / float(state[0, 0, dims.identifier[0]] - state[0, 0, dims.zero])
    attention.k_proj.weight[row + 1, dims.identifier[0]], attention.k_proj.weight[row + 1, dims.zero] = 1.0, -1.0
