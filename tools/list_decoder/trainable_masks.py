"""Masks that separate trainable weights from constructed ones."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import OPTForCausalLM

from tools.list_decoder.state_layout import AXES, StateDimensions

_MAX_CONSTRUCTED = 40
"""Maximum number of non-zero values in a constructed row or column. The encoder's rows and columns have many more."""


def trainable_masks(decoder: OPTForCausalLM, dims: StateDimensions) -> dict[str, Tensor]:
    """Return masks by weight name: 1 for trainable values, 0 for fixed ones. Omits weights that are entirely fixed."""
    *layers, scoring, _ = range(len(decoder.model.decoder.layers))
    masks: dict[str, Tensor] = {}
    for name, weight in decoder.named_parameters():
        mask = torch.zeros_like(weight)
        number, part = (int(name.split(".")[3]), name.split(".")[-2]) if ".layers." in name else (-1, name)
        if "embed_positions" in name or (number in layers and "layer_norm" in part):
            mask[:] = 1
            mask[..., dims.unread] = 0
            if number == layers[-1] and part == "final_layer_norm":
                mask[dims.blank] = 0
        elif number in layers and weight.dim() == 2:
            rows, columns = (weight != 0).sum(1) > _MAX_CONSTRUCTED, (weight != 0).sum(0) > _MAX_CONSTRUCTED
            mask[rows[:, None] & columns[None, :]] = 1
            if part not in ("out_proj", "fc2"):
                mask[:, dims.unread] = 0
            masks[name.replace("weight", "bias")] = rows.to(weight.dtype)
        elif number == scoring and name.endswith("v_proj.weight"):
            mask[: 2 * AXES] = 1
            mask[:, dims.unread] = 0
        elif number == scoring and name.endswith("fc1.weight"):
            mask[: 4 * AXES, dims.means] = 1
        elif number == scoring and name.endswith("fc2.weight"):
            mask[dims.score, : 4 * AXES] = 1
        if mask.any():
            masks[name] = mask
    return masks
