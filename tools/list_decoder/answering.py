"""The two layers behind the encoder's: documents' scores, and the answer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tools.list_decoder.places import AXES, BITS, MOST, ON, StateDimensions
from tools.list_decoder.reading import LOUD, compare_codes, recognise
from tools.written import write_product

CHANNEL = ON * LOUD / 3
"""What a channel holds between the encoder's layers and these: enough to be told beside the means."""

_POOLED = 4.0
"""Half of what an attention logit loses for each bit in which two codes differ, where means are taken."""

_HIDDEN = 1.0
"""What it loses for a token that is not to be seen, for each unit in which two channels differ."""

_GATE = 30.0
"""The same in the last layer, by the place of what is no document."""

_GAIN = 7.5 / ON
"""How far above or below zero hidden units are that recognise a code: far enough for gelu to be nothing or all."""

_LISTED = 20.0
"""What a listed identifier takes from a document's logit, by its place."""

SHARP = 4.0
"""Attention logits that a unit of the score is worth in the last layer."""


def take_means(layer: Any, places: StateDimensions, axes: Tensor, offset: Tensor) -> None:
    """Five heads take the query's mean and five the document's, in these axes; one takes what an answer has listed, all alike.

    axes: [AXES, dimensions]. offset: [AXES], to be added.
    """
    _emptied(layer)
    attention, size = layer.self_attn, layer.self_attn.head_dim
    heads = AXES // size
    for head in range(heads):
        _only(attention, head * size, places, places.query)
        _only(attention, head * size + 1, places, places.document, -1.0)
        row = (heads + head) * size
        compare_codes(attention, row, places, _POOLED, CHANNEL)
        _only(attention, row + BITS + 1, places, places.document, -1.0)
    for start in (0, AXES):
        rows = slice(start, start + AXES)
        attention.v_proj.weight[rows], attention.v_proj.bias[rows] = LOUD * axes, LOUD * offset
        attention.out_proj.weight[places.means[rows], rows] = torch.eye(AXES)
    _only(attention, 2 * AXES, places, places.answer)
    for row, place in enumerate(places.blank, start=2 * AXES):
        attention.v_proj.weight[row, place] = LOUD
        attention.out_proj.weight[place, row] = 1.0
    layer.self_attn_layer_norm.weight[_new(places)] = 0


def _new(places: StateDimensions) -> list[int]:
    """What is written behind the means, where the encoder's states end."""
    return [*places.identifier, *places.score, places.other, places.form, places.first, places.zero]


def _emptied(layer: Any) -> None:
    attention = layer.self_attn
    for dense in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj, layer.fc1, layer.fc2):
        dense.weight.zero_()
        dense.bias.zero_()


def _only(attention: Any, row: int, places: StateDimensions, channel: int, sign: float = 1.0) -> None:
    """One row that hides tokens whose channel is off, or on where the sign is negative; the others' logits stay what they are."""
    attention.q_proj.bias[row] = attention.head_dim**0.5
    attention.k_proj.weight[row, channel] = sign * _HIDDEN
    attention.k_proj.weight[row, places.one] = -_HIDDEN


def multiply(layer: Any, places: StateDimensions) -> None:
    """The product of both means; which document a [DOC] closes; whether a token of the answer is its first."""
    inner, outer = layer.fc1, layer.fc2
    write_product(inner, outer, places.means[:AXES], places.means[AXES:], (places.score[0], places.score[1]))
    for number, place in enumerate(places.identifier):
        recognise(inner, 4 * AXES + number, places, number, places.document, places.answer, _GAIN)
        outer.weight[place, 4 * AXES + number] = 1.0
    no_document, first, of_answer = (4 * AXES + MOST + 1 + number for number in range(3))
    inner.weight[no_document, places.document] = -10.0 / ON
    outer.weight[places.other, no_document] = 1.0
    recognise(inner, first, places, MOST + 1, places.answer, places.query, _GAIN)
    outer.weight[[places.first, places.form], first] = 1.0
    inner.weight[of_answer, places.answer] = 10.0 / ON
    outer.weight[places.form, of_answer] = -0.5


def name_the_next(layer: Any, places: StateDimensions) -> None:
    """One head. Its dimensions: identifiers that are not to be seen again, the end among them for a first token; the score; the
    threshold; what is no document. `fit_scores` sets score and threshold."""
    _emptied(layer)
    attention = layer.self_attn
    for number, place in enumerate(places.identifier):
        seen, against = (places.listed[number - 1], places.unlisted) if number else (places.first, places.zero)
        attention.q_proj.weight[number, seen], attention.q_proj.weight[number, against] = -_LISTED, _LISTED
        for dense in (attention.k_proj, attention.v_proj):
            dense.weight[number, place], dense.weight[number, places.zero] = 1.0, -1.0
        attention.out_proj.weight[place, number] = LOUD
    row = MOST + 3
    attention.q_proj.bias[row] = attention.head_dim**0.5
    attention.k_proj.weight[row, places.other], attention.k_proj.weight[row, places.zero] = -_GATE, _GATE


def raw_scores(states: Tensor, places: StateDimensions) -> Tensor:
    """Scores without scale and shift, [...], of states of [DOC] tokens behind the last layer but one, [..., dimensions]."""
    return states[..., places.score[0]] - states[..., places.score[1]]


@torch.no_grad()
def fit_scores(decoder: Any, places: StateDimensions, begin: int, scale: float, shift: float, threshold: float) -> None:
    """Let the last layer read scores as scale x raw + shift, and end a list where none is above the threshold. begin: the token [CLS]."""
    body = decoder.model.decoder
    scale = float(torch.tensor(scale).bfloat16())  # as the file has it
    state = (body.embed_tokens.weight[begin] + body.embed_positions.weight[body.embed_positions.offset])[None, None]
    for layer in body.layers[:-1]:
        state = layer(state)
    attention = body.layers[-1].self_attn
    row, logits = MOST + 1, SHARP * attention.head_dim**0.5
    attention.q_proj.bias[row] = logits
    attention.k_proj.weight[row, places.score] = torch.tensor([scale, -scale])
    above = threshold - shift - scale * float(raw_scores(state[0, 0], places))
    attention.q_proj.bias[row + 1] = (
        logits * above / float(state[0, 0, places.identifier[0]] - state[0, 0, places.zero])
    )
    attention.k_proj.weight[row + 1, places.identifier[0]], attention.k_proj.weight[row + 1, places.zero] = 1.0, -1.0
