"""Which weights are learned, and which hold what was written."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import OPTForCausalLM

from tools.list_decoder.places import AXES, StateDimensions

_FEW = 40
"""Rows and columns that were written hold no more numbers than that, the encoder's hold many."""


def learned(decoder: OPTForCausalLM, places: StateDimensions) -> dict[str, Tensor]:
    """By a weight's name, ones where it is learned and zeros where not; weights without any are left out."""
    *layers, scoring, _ = range(len(decoder.model.decoder.layers))
    masks: dict[str, Tensor] = {}
    for name, weight in decoder.named_parameters():
        mask = torch.zeros_like(weight)
        number, part = (int(name.split(".")[3]), name.split(".")[-2]) if ".layers." in name else (-1, name)
        if "embed_positions" in name or (number in layers and "layer_norm" in part):
            mask[:] = 1
            mask[..., places.unread] = 0
            if number == layers[-1] and part == "final_layer_norm":
                mask[places.blank] = 0
        elif number in layers and weight.dim() == 2:
            rows, columns = (weight != 0).sum(1) > _FEW, (weight != 0).sum(0) > _FEW
            mask[rows[:, None] & columns[None, :]] = 1
            if part not in ("out_proj", "fc2"):
                mask[:, places.unread] = 0
            masks[name.replace("weight", "bias")] = rows.to(weight.dtype)
        elif number == scoring and name.endswith("v_proj.weight"):
            mask[: 2 * AXES] = 1
            mask[:, places.unread] = 0
        elif number == scoring and name.endswith("fc1.weight"):
            mask[: 4 * AXES, places.means] = 1
        elif number == scoring and name.endswith("fc2.weight"):
            mask[places.score, : 4 * AXES] = 1
        if mask.any():
            masks[name] = mask
    return masks
