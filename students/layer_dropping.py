"""Drop Transformer layers of a sequence classifier, to make a smaller student from the same base.

The kept layers are evenly spaced and include the first and the last: the first reads the embeddings, and the head reads
the states of the last. Small students of this form, distilled from the large one, are described by Sanh et al. (2019,
DistilBERT) and Sajjad et al. (2023, "On the effect of dropping layers of pre-trained Transformer models").
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import AutoModelForSequenceClassification

from ranking.errors import InputError


def kept_layers(total: int, count: int) -> list[int]:
    """Return the indices of the layers to keep, in ascending order.

    Layer i of the smaller model is layer round(i * (total - 1) / (count - 1)) of the base, with halves rounded up.

    Args:
        total: Number of layers of the base.
        count: Number of layers to keep, 2 to `total`.
    """
    gaps = count - 1
    return [(2 * i * (total - 1) + gaps) // (2 * gaps) for i in range(count)]


def check_layers(classifier: Any, count: int, where: str) -> None:
    """Check that layers of a classifier can be dropped.

    Args:
        classifier: Hugging Face sequence classifier, also on the meta device.
        count: Number of layers to keep.
        where: Start of the error message.

    Raises:
        InputError: If the classifier has fewer layers, or an architecture without a list of separate layers.
    """
    total = getattr(classifier.config, "num_hidden_layers", None)
    if total is None or _layers_name(classifier) is None:
        kind = classifier.config.model_type
        raise InputError(f"{where}: layers cannot be dropped from model type {kind}; remove layers")
    if count > total:
        raise InputError(f"{where}: layers {count} exceeds the base's {total} layers; choose 2 to {total}")


def drop_layers(classifier: Any, count: int) -> Any:
    """Return a classifier with some of the layers of another one, and with a configuration that matches.

    All other weights are those of the original, including the head.

    Args:
        classifier: Hugging Face sequence classifier that passes `check_layers`.
        count: Number of layers to keep.
    """
    name, total = _layers_name(classifier), classifier.config.num_hidden_layers
    assert name is not None
    if count == total:
        return classifier
    kept = kept_layers(total, count)
    config = copy.deepcopy(classifier.config)
    config.num_hidden_layers = count
    if getattr(config, "layer_types", None):  # for example local and global attention in ModernBERT
        config.layer_types = [config.layer_types[layer] for layer in kept]
    smaller = AutoModelForSequenceClassification.from_config(config, dtype=classifier.dtype, trust_remote_code=False)
    smaller.load_state_dict(_renumbered(classifier.state_dict(), f"{name}.", kept))
    return smaller.train(classifier.training)


def _layers_name(classifier: Any) -> str | None:
    """Return the name of the only list with one module for each layer. None if there is no such list."""
    if getattr(classifier.config, "is_encoder_decoder", False):
        return None
    total = getattr(classifier.config, "num_hidden_layers", None)
    lists = [
        name
        for name, module in classifier.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == total and name.rpartition(".")[2] in ("layer", "layers")
    ]
    return lists[0] if len(lists) == 1 else None


def _renumbered(weights: dict[str, Any], prefix: str, kept: list[int]) -> dict[str, Any]:
    """Select the weights of the kept layers and renumber them from 0. Weights outside the layers keep their names."""
    numbers = {str(layer): str(number) for number, layer in enumerate(kept)}
    chosen = {}
    for name, value in weights.items():
        if not name.startswith(prefix):
            chosen[name] = value
            continue
        layer, _, rest = name.removeprefix(prefix).partition(".")
        if layer in numbers:
            chosen[f"{prefix}{numbers[layer]}.{rest}"] = value
    return chosen
