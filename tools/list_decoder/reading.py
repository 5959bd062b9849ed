"""Embeddings and the encoder's layers: as they were, and what tells a token where it stands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BertModel

from tools.list_decoder.places import BITS, CODES, MOST, ON, MarkerTokens, StateDimensions
from tools.written import free_dimensions

LOUD = 30.0
"""By how much means and identifiers are multiplied, so that little is left of a token's own state."""

_LOUDER = 8.0
"""What the embedding of an answer's token holds in its identifier's place, more than any word's there."""

_NEAR, _COPIED, _OPENING = 50.0, 1000.0, 1200.0
"""By how much attention logits of the first layer fall over 1,600 tokens: in most heads; in the one that copies; for no opening."""

_WITHIN = 2.0
"""Half of what an attention logit loses for each bit in which two codes differ, where a channel holds what it should."""

_TURN = math.pi / 2 / 1600
"""An angle for each position; all stay below a right one."""

_SEEN = 64
"""The encoder's positions that are used, again and again."""

_SURE = 60.0
"""How fast a channel that is renewed becomes sure of its sign."""


def embed(body: Any, encoder: BertModel, words: Sequence[int], tokens: MarkerTokens, places: StateDimensions) -> None:
    """Words and positions with the encoder's layer norm in them, and the channels. words: of each token, the encoder's."""
    held, norm = encoder.embeddings, encoder.embeddings.LayerNorm
    positions = held.position_embeddings.weight[1 : 1 + _SEEN]
    mean = positions.mean(0)
    raw = held.word_embeddings.weight[torch.tensor(words)] + held.token_type_embeddings.weight[0] + mean
    deviation = raw.std(-1, unbiased=False)
    table = norm.weight * (raw - raw.mean(-1, keepdim=True)) / deviation[:, None] + norm.bias
    moved = positions - mean
    moved = norm.weight * (moved - moved.mean(-1, keepdim=True)) / deviation.median()
    table[:, places.unread], moved[:, places.unread] = 0, 0
    table[:, places.one], table[:, places.document], table[:, places.answer] = ON, -ON, -ON
    for number, token in enumerate([tokens.begin, *tokens.opening]):
        table[token, places.code] = ON * torch.tensor(CODES[number])
        table[token, places.query] = ON if number == 0 else -ON
        table[token, places.opening] = 1.0
    table[[tokens.begin, tokens.document], places.document] = ON
    for number, token, form in _of_answers(tokens):
        table[token] = 0
        table[token, places.code] = 3 * ON * torch.tensor(CODES[number])  # louder than what is copied to it
        table[token, places.query] = -3 * ON
        table[token, places.one], table[token, places.document], table[token, places.answer] = ON, -ON, ON
        if form:
            table[token, places.identifier[number]], table[token, places.form] = _LOUDER, form * _LOUDER
    table[tokens.end] = 0
    table[tokens.end, places.identifier[0]], table[tokens.end, places.form] = _LOUDER, -_LOUDER
    body.embed_tokens.weight.copy_(table)
    offset = body.embed_positions.offset
    count = body.embed_positions.weight.shape[0] - offset
    body.embed_positions.weight[:offset] = 0
    body.embed_positions.weight[offset:] = moved[torch.arange(count) % _SEEN]
    angles = torch.arange(count) * _TURN
    for place, values in zip((0, 2), (angles.cos(), angles.sin()), strict=True):
        high = values.bfloat16().float()  # in two parts, so that the file's weights can be bf16
        body.embed_positions.weight[offset:, places.near[place]] = high
        body.embed_positions.weight[offset:, places.near[place + 1]] = values - high


def _of_answers(tokens: MarkerTokens) -> Iterator[tuple[int, int, int]]:
    """Number, token and form: 1 for what can only begin an answer, -1 for what can only go on with it."""
    yield MOST + 1, tokens.answer, 0
    for form, ids in ((1, tokens.first), (-1, tokens.later)):
        for number, token in enumerate(ids, start=1):
            yield number, token, form


def load(layer: Any, source: Any, places: StateDimensions) -> None:
    """Take a layer of the encoder over; it neither reads nor writes what is ours."""
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
    for module, held in pairs:
        module.load_state_dict(held.state_dict())
    for module in (ours.q_proj, ours.k_proj, ours.v_proj, layer.fc1):
        module.weight[:, places.unread] = 0
    for module in (ours.out_proj, layer.fc2):
        leave(module, places.channels)


def leave(dense: Any, rows: list[int]) -> None:
    """Write nothing there."""
    dense.weight[rows] = 0
    dense.bias[rows] = 0


def _spared(attention: Any, count: int, places: StateDimensions) -> None:
    """Free so many dimensions of each head, the last."""
    free_dimensions(attention.q_proj, attention.k_proj, attention.head_dim, count)
    for module in (attention.q_proj, attention.k_proj):
        module.weight[:, places.unread] = 0  # what was nothing is nearly nothing now


def _ends(attention: Any) -> range:
    return range(attention.head_dim, attention.embed_dim + 1, attention.head_dim)


def _fall(attention: Any, row: int, places: StateDimensions, most: float) -> None:
    """Two rows whose product falls with the distance: - most sin(distance)."""
    part = (most * attention.head_dim**0.5) ** 0.5
    cosine, sine = places.near[:2], places.near[2:]
    attention.q_proj.weight[row, sine], attention.q_proj.weight[row + 1, cosine] = -part, part
    attention.k_proj.weight[row, cosine], attention.k_proj.weight[row + 1, sine] = part, part


def see_near(attention: Any, places: StateDimensions) -> None:
    """Attend less to what is far. One head, which writes least, attends to the last opening token instead and copies what it opens."""
    _spared(attention, 2, places)
    for end in _ends(attention):
        _fall(attention, end - 2, places, _NEAR)
    size = attention.head_dim
    loud = [
        float((attention.out_proj.weight[:, end - size : end] @ attention.v_proj.weight[end - size : end]).norm())
        for end in _ends(attention)
    ]
    start = size * min(range(len(loud)), key=loud.__getitem__)
    rows = slice(start, start + size)
    for module in (attention.q_proj, attention.k_proj, attention.v_proj):
        module.weight[rows], module.bias[rows] = 0, 0
    attention.out_proj.weight[:, rows] = 0
    _fall(attention, start, places, _COPIED)
    attention.q_proj.bias[start + 2] = (_OPENING * size**0.5) ** 0.5
    attention.k_proj.weight[start + 2, places.opening] = (_OPENING * size**0.5) ** 0.5
    for number, channel in enumerate([*places.code, places.query]):
        attention.v_proj.weight[start + number, channel] = 1.0
        attention.out_proj.weight[channel, start + number] = 1.0


def see_passage(attention: Any, places: StateDimensions) -> None:
    """Attend to what has the same code."""
    _spared(attention, BITS + 1, places)
    for end in _ends(attention):
        compare_codes(attention, end - BITS - 1, places, _WITHIN, ON)


def compare_codes(attention: Any, row: int, places: StateDimensions, weight: float, on: float) -> None:
    """Seven rows whose product is 0 for the same code, and far below it for another. on: what a channel holds here."""
    part = (weight * attention.head_dim**0.5) ** 0.5 / on
    for number, channel in enumerate(places.code):
        attention.q_proj.weight[row + number, channel] = part
        attention.k_proj.weight[row + number, channel] = part
    attention.q_proj.weight[row + BITS, places.one] = -BITS * part
    attention.k_proj.weight[row + BITS, places.one] = part


def renew(layer: Any, places: StateDimensions) -> Iterator[int]:
    """Of the hidden units that matter least, two take a channel away and two write it anew, by its sign. Returns the other units."""
    free = _freed(layer)
    for channel in places.channels:
        units = [next(free) for _ in range(4)]
        layer.fc1.weight[units, channel] = torch.tensor([1.0, -1.0, _SURE / ON, _SURE / ON])
        layer.fc1.bias[units] = torch.tensor([0.0, 0.0, 4.0, -4.0])
        layer.fc2.weight[channel, units] = torch.tensor([-1.0, 1.0, ON / 4, -ON / 4])
        layer.fc2.bias[channel] = -ON
    return free


def _freed(layer: Any) -> Iterator[int]:
    for unit in (layer.fc1.weight.norm(dim=1) * layer.fc2.weight.norm(dim=0)).argsort().tolist():
        layer.fc1.weight[unit], layer.fc1.bias[unit], layer.fc2.weight[:, unit] = 0, 0, 0
        yield unit


def write_identifiers(layer: Any, places: StateDimensions, free: Iterator[int]) -> None:
    """MarkerTokens of an answer hold their identifier and nothing else in the places of what is listed."""
    leave(layer.fc2, places.blank)
    for place in places.blank:
        units = [next(free) for _ in range(2)]
        layer.fc1.weight[units, place] = torch.tensor([1.0, -1.0])
        layer.fc1.weight[units, places.answer] = 20 / ON
        layer.fc1.bias[units] = -10.0
        layer.fc2.weight[place, units] = torch.tensor([-0.5, 0.5])
    for number, place in enumerate(places.listed, start=1):
        unit = next(free)
        recognise(layer.fc1, unit, places, number, places.answer, places.query, 8.0 / ON)
        layer.fc2.weight[place, unit] = LOUD / 16


def recognise(dense: Any, unit: int, places: StateDimensions, number: int, on: int, off: int, gain: float) -> None:
    """Above zero where the code is that of a number, one channel is on and another off; below it elsewhere.

    The weights add up to nothing, as a layer norm moves all channels alike.
    """
    code = torch.tensor(CODES[number])
    dense.weight[unit, places.code] = gain * code
    dense.weight[unit, on] = 4 * gain
    dense.weight[unit, off] = gain * (2 - code.sum() / 2)
    dense.weight[unit, places.one] = -gain * (6 + code.sum() / 2)


def through(layer: Any, places: StateDimensions, states: list[Tensor], first: bool) -> list[Tensor]:
    """Set the layer norms so that channels stay what they are, and the first layer's own places end there; returns the states behind it."""
    attended = [held + layer.self_attn(held)[0] for held in states]
    _keep(layer.self_attn_layer_norm, places.channels, attended)
    if first:
        spent = [*places.near, places.opening]
        layer.self_attn_layer_norm.weight[spent], layer.self_attn_layer_norm.bias[spent] = 0, 0
    attended = [layer.self_attn_layer_norm(held) for held in attended]
    fed = [held + layer.fc2(torch.nn.functional.gelu(layer.fc1(held))) for held in attended]
    _keep(layer.final_layer_norm, places.channels, fed)
    return [layer.final_layer_norm(held) for held in fed]


def _keep(norm: Any, channels: list[int], given: list[Tensor]) -> None:
    held = torch.cat([one[0] for one in given])
    norm.weight[channels] = held.std(-1, unbiased=False).median()
    norm.bias[channels] = held.mean(-1).median()
