"""Models with a head that scores pairs: the form in which every student is saved, loaded and served."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_outputs import BaseModelOutputWithPooling

from students.batches import SEGMENTS, inputs_of
from students.parting import parted_inputs, sides_of

INTERACTION_SCALE = 20.0


class Head(nn.Module, ABC):
    """A model with a head that scores pairs. batch: see `students.batches.pad`; scores: [pairs], float32."""

    config: Any

    @property
    @abstractmethod
    def base(self) -> Any:
        """The model below the head."""

    def freeze_embeddings(self) -> None:
        """Leave the token embeddings out of training; everything above them learns."""
        self.base.get_input_embeddings().weight.requires_grad_(False)

    def checkpoint_activations(self) -> None:
        """Compute activations anew on the way back instead of keeping them: less memory, a third more work."""
        self.base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    @abstractmethod
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs."""

    @abstractmethod
    def states_and_scores(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """The states of every layer, [pairs, tokens, hidden] each, the embeddings' first; and the scores."""

    @abstractmethod
    def of_states(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs by other states of the last layer, [pairs, tokens, hidden], without the model below."""


class ClsHead(Head):
    """The plain classifier: the base's own sequence classification head with one label."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        self.config = classifier.config

    @property
    def base(self) -> Any:
        return self.classifier.base_model

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.classifier(**inputs_of(batch)).logits
        return logits[:, 0].float()

    def states_and_scores(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        out = self.classifier(**inputs_of(batch), output_hidden_states=True)
        return out.hidden_states, out.logits[:, 0].float()

    def of_states(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        with _encoder_replaced(self.classifier, states):
            return self.forward(batch)


class InteractionHead(Head):
    """Scaled cosine of the mean query and the mean document states, plus a linear term on [CLS].

        s = 20 * cos(mean of query states, mean of document states) + w . h_[CLS] + b

    Both means are over the states of one encoding, so each side has read the other. w and b start from zero: a base
    that is a sentence encoder ranks before its first step. cross_bias: None where query and document are one sequence;
    a number where they are parted (`students.parting`), and each mean is over the [CLS] and [SEP] of its side too, as
    sentence encoders are trained. Ours, not the paper's.
    """

    def __init__(self, encoder: Any, cross_bias: float | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.cross_bias = cross_bias
        self.config = encoder.config
        self.linear = nn.Linear(encoder.config.hidden_size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def base(self) -> Any:
        return self.encoder

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.of_states(self.encoder(**self._inputs(batch)).last_hidden_state, batch)

    def states_and_scores(self, batch: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        out = self.encoder(**self._inputs(batch), output_hidden_states=True)
        return out.hidden_states, self.of_states(out.last_hidden_state, batch)

    def _inputs(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        inputs = inputs_of(batch)
        return inputs if self.cross_bias is None else parted_inputs(inputs, batch[SEGMENTS], self.cross_bias, self.encoder)

    def of_states(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        states = states.float()
        parts = batch[SEGMENTS] if self.cross_bias is None else sides_of(batch[SEGMENTS], batch["attention_mask"])
        query, document = (_masked_mean(states, parts == part) for part in (1, 2))
        linear = functional.linear(states[:, 0], self.linear.weight.float(), self.linear.bias.float())
        return INTERACTION_SCALE * functional.cosine_similarity(query, document, dim=1) + linear[:, 0]


class _Replaced(nn.Module):
    """Stands where an encoder stood and gives states that are known already, with the encoder's own pooler on them."""

    def __init__(self, states: Tensor, pooler: Any) -> None:
        super().__init__()
        self.states, self.pooler = states, pooler

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=self.states, pooler_output=self.pooler(self.states) if self.pooler else None)


@contextmanager
def _encoder_replaced(classifier: Any, states: Tensor) -> Iterator[None]:
    """Let a classifier's own head read other states, whatever architecture it is of."""
    name, encoder = classifier.base_model_prefix, classifier.base_model
    classifier._modules[name] = _Replaced(states, getattr(encoder, "pooler", None))
    try:
        yield
    finally:
        classifier._modules[name] = encoder


def _masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Average states [pairs, tokens, hidden] where mask [pairs, tokens] is True; zeros where nowhere."""
    weights = mask.unsqueeze(2).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
