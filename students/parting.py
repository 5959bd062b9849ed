"""Query and document in one sequence, each read as a sentence encoder reads it alone, with attention between them.

    [CLS] query [SEP] [CLS] document [SEP]

Positions begin anew at the document, and a bias is added to the logits of attention from one side to the other. At
minus infinity the two are read apart, as a bi-encoder does; at 0 they attend to each other as to themselves. In between
a student starts near its base's own quality and learns what to read across. Ours, not the paper's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PARTED = ("bert", "electra", "roberta", "xlm-roberta", "camembert")
"""Architectures that take positions and attention of one's own choice."""


def sides_of(segments: Tensor, attention_mask: Tensor) -> Tensor:
    """Tell which side each token is of. segments: 1 for query tokens, 2 for document tokens, 0 for special ones and padding.

    segments, attention_mask: [pairs, tokens], padded on the right. Returns the same shape: 1 for [CLS] query [SEP], 2
    for [CLS] document [SEP], 0 for padding.
    """
    places = torch.arange(segments.shape[1], device=segments.device)
    last = (places * (segments == 1)).amax(dim=1, keepdim=True)
    return torch.where(places > last + 1, 2, 1) * attention_mask


def parted_inputs(inputs: dict[str, Tensor], segments: Tensor, cross_bias: float, encoder: Any) -> dict[str, Tensor]:
    """What an encoder is given to read both sides apart. inputs: of one sequence, [pairs, tokens].

    Returns input_ids, position_ids, attention_mask [pairs, 1, tokens, tokens] as additive bias, and token_type_ids of
    zeros where the tokenizer gives them.
    """
    sides = sides_of(segments, inputs["attention_mask"])
    places = torch.arange(sides.shape[1], device=sides.device)
    starts = (sides == 1).sum(dim=1, keepdim=True) * (sides == 2)
    positions = ((places - starts) * (sides > 0)).clamp(min=0) + _first_position(encoder.config)
    across = sides[:, None, :, None] != sides[:, None, None, :]
    bias = torch.where(across, cross_bias, 0.0).masked_fill((sides == 0)[:, None, None, :], torch.finfo(encoder.dtype).min)
    types = {name: torch.zeros_like(value) for name, value in inputs.items() if name == "token_type_ids"}
    return {"input_ids": inputs["input_ids"], "position_ids": positions, "attention_mask": bias.to(encoder.dtype), **types}


def _first_position(config: Any) -> int:
    return int(config.pad_token_id) + 1 if config.model_type in {"roberta", "xlm-roberta", "camembert"} else 0
