"""A sequence classifier with one label that scores pairs: the form in which every student is saved, loaded and served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from students.batches import inputs_of

_ATTENTION_DROPOUT = "attention_dropout"
"""Attribute of attention modules that have a probability instead of an nn.Dropout: Qwen and ModernBERT, among others."""


class PairClassifier(nn.Module):
    """Scores pairs by a Hugging Face sequence classifier with one label. batch: see `students.batches.pad`; scores: [pairs], float32.

    Its head, the pooler and all that stands above the base, is computed in float32, whatever the base is in: scores of 2 and more would
    have steps of a 64th in bf16, and so ties.
    """

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        self.config = classifier.config
        above = [child for name, child in classifier.named_children() if name != classifier.base_model_prefix]
        pooler = getattr(self.base, "pooler", None)
        self._heads = (
            (*above, pooler) if pooler is not None else (*above,)
        )  # in a tuple, or their weights would be found twice
        for head in self._heads:
            _widen(head)

    @property
    def base(self) -> Any:
        """The model below the head."""
        return self.classifier.base_model

    def lower(self, dtype: torch.dtype) -> None:
        """Bring all weights but the head's to a lower precision.

        What no file of weights holds stays as it is: rotary frequencies in bf16 would turn positions by other angles than in training.
        """
        of_head = {id(weights) for head in self._heads for weights in head.parameters()}
        for weights in self.state_dict(keep_vars=True).values():
            if weights.is_floating_point() and id(weights) not in of_head:
                weights.data = weights.data.to(dtype)

    def freeze_embeddings(self) -> None:
        """Leave the token embeddings out of training; everything above them learns."""
        self.base.get_input_embeddings().weight.requires_grad_(False)

    def set_dropout(self, probability: float) -> None:
        """Set every dropout of the model; the saved configuration stays the base's."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability
            if isinstance(getattr(module, _ATTENTION_DROPOUT, None), float):
                setattr(module, _ATTENTION_DROPOUT, probability)

    def checkpoint_activations(self) -> None:
        """Compute activations anew on the way back instead of keeping them: less memory, a third more work."""
        self.base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs."""
        logits: Tensor = self.classifier(**inputs_of(batch)).logits
        return logits[:, 0].float()

    def states_and_scores(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """The states of every layer, [pairs, tokens, hidden] each, the embeddings' first; and the scores."""
        out = self.classifier(**inputs_of(batch), output_hidden_states=True)
        return out.hidden_states, out.logits[:, 0].float()

    def of_states(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs by other states of the last layer, [pairs, tokens, hidden], without the model below."""
        with _encoder_replaced(self.classifier, states):
            scores: Tensor = self(batch)
            return scores


def _widen(head: nn.Module) -> None:
    """Let a head's layers compute in float32; their weights stay what they are."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            layer.forward = MethodType(_linear, layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.LayerNorm):
            layer.forward = MethodType(_norm, layer)  # type: ignore[method-assign]


def _linear(layer: nn.Linear, given: Tensor) -> Tensor:
    with torch.autocast(given.device.type, enabled=False):
        return functional.linear(given.float(), layer.weight.float(), _float(layer.bias))


def _norm(layer: nn.LayerNorm, given: Tensor) -> Tensor:
    return functional.layer_norm(
        given.float(), layer.normalized_shape, _float(layer.weight), _float(layer.bias), layer.eps
    )


def _float(weights: Tensor | None) -> Tensor | None:
    return None if weights is None else weights.float()


class _Replaced(nn.Module):
    """Stands where an encoder stood and gives states that are known already, with the encoder's own pooler on them."""

    def __init__(self, states: Tensor, encoder: Any) -> None:
        super().__init__()
        self.states, self.pooled = states, _pooled(encoder, states)

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=self.states, pooler_output=self.pooled)


def _pooled(encoder: Any, states: Tensor) -> Any:
    """What an encoder's pooler makes of states; None where it has none. ALBERT's is a bare layer, for [CLS] alone."""
    pooler = getattr(encoder, "pooler", None)
    if isinstance(pooler, nn.Linear):
        return encoder.pooler_activation(pooler(states[:, 0]))
    return pooler(states) if pooler is not None else None


@contextmanager
def _encoder_replaced(classifier: Any, states: Tensor) -> Iterator[None]:
    """Let a classifier's own head read other states, whatever architecture it is of."""
    name, encoder = classifier.base_model_prefix, classifier.base_model
    classifier._modules[name] = _Replaced(states, encoder)
    try:
        yield
    finally:
        classifier._modules[name] = encoder
