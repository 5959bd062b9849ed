"""Construct the decoder's embeddings, its copies of the encoder's layers, and the channels that identify passages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BertModel

from tools.constructed_weights import free_dimensions
from tools.list_decoder.state_layout import BITS, CODES, MAX_DOCUMENTS, ON, MarkerTokens, StateDimensions

COPY_SCALE = 30.0
"""Scale of means and identifiers, large enough to drown out a token's previous state."""

_IDENTIFIER = 8.0
"""Value of an answer token's embedding in the dimension of its identifier, larger than that of any word."""

_DISTANCE, _COPY_DISTANCE, _NOT_OPENING = 50.0, 1000.0, 1200.0
"""Reductions of attention logits in the first layer: at a distance of 1,600 tokens in ordinary heads, at a distance of
1,600 tokens in the copying head, and for tokens other than opening tokens in the copying head."""

_PASSAGE_SEPARATION = 2.0
"""Each bit in which two codes differ lowers the attention logit by twice this value, at nominal channel values."""

_TURN = math.pi / 2 / 1600
"""Angle of the position encoding per position, in radians. Keeps all angles up to position 1,600 below 90 degrees."""

_POSITIONS = 64
"""Number of the encoder's position embeddings that are used. They repeat over the decoder's positions."""

_SIGN_GAIN = 60.0
"""Gain of the hidden units that restore a channel's value from its sign."""


def write_embeddings(
    body: Any, encoder: BertModel, words: Sequence[int], tokens: MarkerTokens, dims: StateDimensions
) -> None:
    """Write token and position embeddings that include the encoder's embedding layer norm and the channels.

    Args:
        body: The decoder, changed in place.
        encoder: The sentence encoder.
        words: The encoder's token id for each token of the decoder.
        tokens: Marker tokens.
        dims: Layout of the state.
    """
    embeddings, norm = encoder.embeddings, encoder.embeddings.LayerNorm
    positions = embeddings.position_embeddings.weight[1 : 1 + _POSITIONS]
    mean = positions.mean(0)
    raw = embeddings.word_embeddings.weight[torch.tensor(words)] + embeddings.token_type_embeddings.weight[0] + mean
    deviation = raw.std(-1, unbiased=False)
    table = norm.weight * (raw - raw.mean(-1, keepdim=True)) / deviation[:, None] + norm.bias
    moved = positions - mean
    moved = norm.weight * (moved - moved.mean(-1, keepdim=True)) / deviation.median()
    table[:, dims.unread], moved[:, dims.unread] = 0, 0
    table[:, dims.one], table[:, dims.document], table[:, dims.answer] = ON, -ON, -ON
    for number, token in enumerate([tokens.begin, *tokens.opening]):
        table[token, dims.code] = ON * torch.tensor(CODES[number])
        table[token, dims.query] = ON if number == 0 else -ON
        table[token, dims.opening] = 1.0
    table[[tokens.begin, tokens.document], dims.document] = ON
    for number, token, form in _answer_tokens(tokens):
        table[token] = 0
        table[token, dims.code] = 3 * ON * torch.tensor(CODES[number])  # to outweigh the copied code
        table[token, dims.query] = -3 * ON
        table[token, dims.one], table[token, dims.document], table[token, dims.answer] = ON, -ON, ON
        if form:
            table[token, dims.identifier[number]], table[token, dims.form] = _IDENTIFIER, form * _IDENTIFIER
    table[tokens.end] = 0
    table[tokens.end, dims.identifier[0]], table[tokens.end, dims.form] = _IDENTIFIER, -_IDENTIFIER
    body.embed_tokens.weight.copy_(table)
    offset = body.embed_positions.offset
    count = body.embed_positions.weight.shape[0] - offset
    body.embed_positions.weight[:offset] = 0
    body.embed_positions.weight[offset:] = moved[torch.arange(count) % _POSITIONS]
    angles = torch.arange(count) * _TURN
    for dimension, values in zip((0, 2), (angles.cos(), angles.sin()), strict=True):
        high = values.bfloat16().float()  # split into two parts, to be exact in a bf16 file
        body.embed_positions.weight[offset:, dims.near[dimension]] = high
        body.embed_positions.weight[offset:, dims.near[dimension + 1]] = values - high


def _answer_tokens(tokens: MarkerTokens) -> Iterator[tuple[int, int, int]]:
    """Yield code number, token id and form of answer tokens. The form is 1 for first tokens and -1 for later ones."""
    yield MAX_DOCUMENTS + 1, tokens.answer, 0
    for form, ids in ((1, tokens.first), (-1, tokens.later)):
        for number, token in enumerate(ids, start=1):
            yield number, token, form


def load_layer(layer: Any, source: Any, dims: StateDimensions) -> None:
    """Copy a layer of the encoder, and stop it from reading the added dimensions and from writing the channels."""
    attention, ours = source.attention, layer.self_attn
    pairs = (
        (ours.q_proj, attention.self.query),
        (ours.k_proj, attention.self.key),
        (ours.v_proj, attention.self.value),
        (ours.out_proj, attention.output.dense),
        (layer.self_attn_layer_norm, attention.output.LayerNorm),
        (layer.fc1, source.intermediate.dense),
        (layer.fc2, source.output.dense),
        (layer.final_layer_norm, source.output.LayerNorm),
    )
    for module, original in pairs:
        module.load_state_dict(original.state_dict())
    for module in (ours.q_proj, ours.k_proj, ours.v_proj, layer.fc1):
        module.weight[:, dims.unread] = 0
    for module in (ours.out_proj, layer.fc2):
        clear_output(module, dims.channels)


def clear_output(dense: Any, rows: list[int]) -> None:
    """Stop a projection from writing these dimensions."""
    dense.weight[rows] = 0
    dense.bias[rows] = 0


def _free_head_dimensions(attention: Any, count: int, dims: StateDimensions) -> None:
    """Free the last `count` query-key dimensions of each head for other purposes."""
    free_dimensions(attention.q_proj, attention.k_proj, attention.head_dim, count)
    for module in (attention.q_proj, attention.k_proj):
        module.weight[:, dims.unread] = 0  # removes rounding errors of the decomposition


def _ends(attention: Any) -> range:
    """Return, for each head, the index after its last row."""
    return range(attention.head_dim, attention.embed_dim + 1, attention.head_dim)


def _decay(attention: Any, row: int, dims: StateDimensions, maximum: float) -> None:
    """Write two query-key rows that make the logit fall with distance, by maximum * sin(distance * _TURN)."""
    part = (maximum * attention.head_dim**0.5) ** 0.5
    cosine, sine = dims.near[:2], dims.near[2:]
    attention.q_proj.weight[row, sine], attention.q_proj.weight[row + 1, cosine] = -part, part
    attention.k_proj.weight[row, cosine], attention.k_proj.weight[row + 1, sine] = part, part


def attend_nearby(attention: Any, dims: StateDimensions) -> None:
    """Make the first layer's attention decrease with distance.

    Replaces the head with the smallest output: it now attends to the last opening token and copies its code.
    """
    _free_head_dimensions(attention, 2, dims)
    for end in _ends(attention):
        _decay(attention, end - 2, dims, _DISTANCE)
    size = attention.head_dim
    norms = [
        float((attention.out_proj.weight[:, end - size : end] @ attention.v_proj.weight[end - size : end]).norm())
        for end in _ends(attention)
    ]
    start = size * min(range(len(norms)), key=norms.__getitem__)
    rows = slice(start, start + size)
    for module in (attention.q_proj, attention.k_proj, attention.v_proj):
        module.weight[rows], module.bias[rows] = 0, 0
    attention.out_proj.weight[:, rows] = 0
    _decay(attention, start, dims, _COPY_DISTANCE)
    attention.q_proj.bias[start + 2] = (_NOT_OPENING * size**0.5) ** 0.5
    attention.k_proj.weight[start + 2, dims.opening] = (_NOT_OPENING * size**0.5) ** 0.5
    for number, channel in enumerate([*dims.code, dims.query]):
        attention.v_proj.weight[start + number, channel] = 1.0
        attention.out_proj.weight[channel, start + number] = 1.0


def attend_to_passage(attention: Any, dims: StateDimensions) -> None:
    """Restrict attention to tokens of the same passage, which have the same code."""
    _free_head_dimensions(attention, BITS + 1, dims)
    for end in _ends(attention):
        compare_codes(attention, end - BITS - 1, dims, _PASSAGE_SEPARATION, ON)


def compare_codes(attention: Any, row: int, dims: StateDimensions, weight: float, on: float) -> None:
    """Write seven query-key rows that leave the logit unchanged for equal codes and lower it for different codes.

    Args:
        attention: Attention module, changed in place.
        row: First row.
        dims: Layout of the state.
        weight: Half the reduction of the logit per bit in which the codes differ.
        on: Value of a channel that is on, in this layer.
    """
    part = (weight * attention.head_dim**0.5) ** 0.5 / on
    for number, channel in enumerate(dims.code):
        attention.q_proj.weight[row + number, channel] = part
        attention.k_proj.weight[row + number, channel] = part
    attention.q_proj.weight[row + BITS, dims.one] = -BITS * part
    attention.k_proj.weight[row + BITS, dims.one] = part


def restore_channels(layer: Any, dims: StateDimensions) -> Iterator[int]:
    """Restore each channel to its nominal value, with the four least important hidden units that are still free.

    Two units remove the current value, two write the nominal value with the same sign.

    Returns:
        An iterator over the other hidden units, in order of increasing importance. It clears each unit it yields.
    """
    free = _free_units(layer)
    for channel in dims.channels:
        units = [next(free) for _ in range(4)]
        layer.fc1.weight[units, channel] = torch.tensor([1.0, -1.0, _SIGN_GAIN / ON, _SIGN_GAIN / ON])
        layer.fc1.bias[units] = torch.tensor([0.0, 0.0, 4.0, -4.0])
        layer.fc2.weight[channel, units] = torch.tensor([-1.0, 1.0, ON / 4, -ON / 4])
        layer.fc2.bias[channel] = -ON
    return free


def _free_units(layer: Any) -> Iterator[int]:
    """Yield hidden units in order of increasing importance, and clear each before yielding it."""
    for unit in (layer.fc1.weight.norm(dim=1) * layer.fc2.weight.norm(dim=0)).argsort().tolist():
        layer.fc1.weight[unit], layer.fc1.bias[unit], layer.fc2.weight[:, unit] = 0, 0, 0
        yield unit


def write_listed(layer: Any, dims: StateDimensions, free: Iterator[int]) -> None:
    """Make answer tokens contain their own identifier, and nothing else, in the dimensions of listed identifiers."""
    clear_output(layer.fc2, dims.blank)
    for dimension in dims.blank:
        units = [next(free) for _ in range(2)]
        layer.fc1.weight[units, dimension] = torch.tensor([1.0, -1.0])
        layer.fc1.weight[units, dims.answer] = 20 / ON
        layer.fc1.bias[units] = -10.0
        layer.fc2.weight[dimension, units] = torch.tensor([-0.5, 0.5])
    for number, dimension in enumerate(dims.listed, start=1):
        unit = next(free)
        detect_code(layer.fc1, unit, dims, number, dims.answer, dims.query, 8.0 / ON)
        layer.fc2.weight[dimension, unit] = COPY_SCALE / 16


def detect_code(dense: Any, unit: int, dims: StateDimensions, number: int, on: int, off: int, gain: float) -> None:
    """Write a hidden unit that is positive only for tokens with a given code, one given channel on and another off.

    The weights add up to zero, because a layer norm shifts all channels by the same amount.

    Args:
        dense: Projection to the hidden units, changed in place.
        unit: Index of the hidden unit.
        dims: Layout of the state.
        number: Number of the code.
        on: Channel that must be on.
        off: Channel that must be off.
        gain: Scale of the weights.
    """
    code = torch.tensor(CODES[number])
    dense.weight[unit, dims.code] = gain * code
    dense.weight[unit, on] = 4 * gain
    dense.weight[unit, off] = gain * (2 - code.sum() / 2)
    dense.weight[unit, dims.one] = -gain * (6 + code.sum() / 2)


def calibrate_norms(layer: Any, dims: StateDimensions, states: list[Tensor], first: bool) -> list[Tensor]:
    """Set the layer norms to leave the channels unchanged, and run the layer.

    In the first layer, also clears the dimensions that only this layer uses.

    Args:
        layer: The decoder layer, changed in place.
        dims: Layout of the state.
        states: Inputs of the layer, each [1, tokens, dimensions].
        first: Whether this is the first layer.

    Returns:
        Outputs of the layer, each [1, tokens, dimensions].
    """
    attended = [state + layer.self_attn(state)[0] for state in states]
    _preserve(layer.self_attn_layer_norm, dims.channels, attended)
    if first:
        spent = [*dims.near, dims.opening]
        layer.self_attn_layer_norm.weight[spent], layer.self_attn_layer_norm.bias[spent] = 0, 0
    attended = [layer.self_attn_layer_norm(state) for state in attended]
    outputs = [state + layer.fc2(torch.nn.functional.gelu(layer.fc1(state))) for state in attended]
    _preserve(layer.final_layer_norm, dims.channels, outputs)
    return [layer.final_layer_norm(state) for state in outputs]


def _preserve(norm: Any, channels: list[int], inputs: list[Tensor]) -> None:
    """Make a layer norm return the channels unchanged, if the input has the median standard deviation and mean."""
    values = torch.cat([state[0] for state in inputs])
    norm.weight[channels] = values.std(-1, unbiased=False).median()
    norm.bias[channels] = values.mean(-1).median()
