"""A sequence classifier with one label that scores (query, document) pairs.

Every student is saved, loaded and served in this form.
"""

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
"""Attribute with the dropout probability in attention modules that have no nn.Dropout.

For example in Qwen and ModernBERT.
"""


class PairClassifier(nn.Module):
    """Scores pairs with a Hugging Face sequence classifier with one label.

    Takes batches from `students.batches.pad` and returns scores, [pairs], float32.

    The head (the pooler and all layers above the base) computes in float32 whatever the precision of the base. In bf16,
    scores of 2 and more would be rounded to steps of 1/64 or more, which causes ties.
    """

    def __init__(self, classifier: Any) -> None:
        """Wrap a classifier and switch its head to float32 computation."""
        super().__init__()
        self.classifier = classifier
        self.config = classifier.config
        above = [child for name, child in classifier.named_children() if name != classifier.base_model_prefix]
        pooler = getattr(self.base, "pooler", None)
        # PyTorch does not register the modules of a tuple. Registered again, they would be in the state dict twice.
        self._heads = (*above, pooler) if pooler is not None else (*above,)
        for head in self._heads:
            _compute_in_float32(head)

    @property
    def base(self) -> Any:
        """The model below the head."""
        return self.classifier.base_model

    def cast_base(self, dtype: torch.dtype) -> None:
        """Cast all weights to `dtype`, except those of the head.

        Non-persistent buffers keep their precision, because rotary frequencies in bf16 would rotate positions by
        different angles than in training.
        """
        head_ids = {id(weights) for head in self._heads for weights in head.parameters()}
        for weights in self.state_dict(keep_vars=True).values():
            if weights.is_floating_point() and id(weights) not in head_ids:
                weights.data = weights.data.to(dtype)

    def freeze_embeddings(self) -> None:
        """Exclude the token embeddings from training."""
        self.base.get_input_embeddings().weight.requires_grad_(False)

    def set_dropout(self, probability: float) -> None:
        """Set every dropout probability of the model. The saved configuration keeps the values of the base."""
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = probability
            if isinstance(getattr(module, _ATTENTION_DROPOUT, None), float):
                setattr(module, _ATTENTION_DROPOUT, probability)

    def checkpoint_activations(self) -> None:
        """Recompute activations in the backward pass instead of storing them: less memory, but a third more compute."""
        self.base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score the pairs of a batch. Returns [pairs], float32."""
        logits: Tensor = self.classifier(**inputs_of(batch)).logits
        return logits[:, 0].float()

    def states_and_scores(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return embeddings and states of every layer, [pairs, tokens, hidden] each, and the scores, [pairs]."""
        out = self.classifier(**inputs_of(batch), output_hidden_states=True)
        return out.hidden_states, out.logits[:, 0].float()

    def score_states(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs by applying only the head to the given states of the last layer, [pairs, tokens, hidden]."""
        with _encoder_replaced(self.classifier, states):
            scores: Tensor = self(batch)
            return scores


def _compute_in_float32(head: nn.Module) -> None:
    """Make a head's linear and layer norm modules compute in float32. The stored weights keep their precision."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            layer.forward = MethodType(_linear, layer)  # type: ignore[method-assign]
        elif isinstance(layer, nn.LayerNorm):
            layer.forward = MethodType(_norm, layer)  # type: ignore[method-assign]


def _linear(layer: nn.Linear, inputs: Tensor) -> Tensor:
    with torch.autocast(inputs.device.type, enabled=False):
        return functional.linear(inputs.float(), layer.weight.float(), _float(layer.bias))


def _norm(layer: nn.LayerNorm, inputs: Tensor) -> Tensor:
    return functional.layer_norm(
        inputs.float(), layer.normalized_shape, _float(layer.weight), _float(layer.bias), layer.eps
    )


def _float(weights: Tensor | None) -> Tensor | None:
    return None if weights is None else weights.float()


class _PrecomputedEncoder(nn.Module):
    """Replacement for an encoder. Returns given states, and the output of the encoder's own pooler for them."""

    def __init__(self, states: Tensor, encoder: Any) -> None:
        super().__init__()
        self.states, self.pooled = states, _pooled(encoder, states)

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=self.states, pooler_output=self.pooled)


def _pooled(encoder: Any, states: Tensor) -> Any:
    """Apply an encoder's pooler to states. Returns None if the encoder has no pooler.

    ALBERT's pooler is a plain linear layer over the state of [CLS].
    """
    pooler = getattr(encoder, "pooler", None)
    if isinstance(pooler, nn.Linear):
        return encoder.pooler_activation(pooler(states[:, 0]))
    return pooler(states) if pooler is not None else None


@contextmanager
def _encoder_replaced(classifier: Any, states: Tensor) -> Iterator[None]:
    """Within a `with` block, feed given states to a classifier's head. Works for any architecture."""
    name, encoder = classifier.base_model_prefix, classifier.base_model
    setattr(classifier, name, _PrecomputedEncoder(states, encoder))
    try:
        yield
    finally:
        setattr(classifier, name, encoder)
