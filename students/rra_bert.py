"""RRA-BERT: the encoder student of RRADistill (Choi et al., EMNLP 2024 Industry), a cross-encoder.

Known from the paper: query and document in one sequence, divided by [SEP]. The `interaction` head is
this project's own. Token Selection and the Term Control Layer are not in this form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from students.batches import SEGMENTS
from students.settings import RraBertSettings

INTERACTION_SCALE = 20.0


class ClsHead(nn.Module):
    """The plain classifier: the base's own sequence classification head with one label."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. batch: see `students.batches.pad`. Returns [pairs], float32."""
        inputs = {key: value for key, value in batch.items() if key != SEGMENTS}
        logits: Tensor = self.classifier(**inputs).logits
        return logits[:, 0].float()


class InteractionHead(nn.Module):
    """Scaled cosine of the mean query and the mean document states, plus a linear term on [CLS].

        s = 20 * cos(mean of query states, mean of document states) + w . h_[CLS] + b

    Both means are over the states of the joint encoding, so each side has read the other. w and b start
    from zero: a base that is a sentence encoder ranks before its first step. Ours, not the paper's.
    """

    def __init__(self, encoder: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. batch: see `students.batches.pad`. Returns [pairs], float32."""
        segments = batch[SEGMENTS]
        inputs = {key: value for key, value in batch.items() if key != SEGMENTS}
        states = self.encoder(**inputs).last_hidden_state.float()
        query, document = (_masked_mean(states, segments == part) for part in (1, 2))
        linear = functional.linear(states[:, 0], self.linear.weight.float(), self.linear.bias.float())
        return INTERACTION_SCALE * functional.cosine_similarity(query, document, dim=1) + linear[:, 0]


def build(settings: RraBertSettings, path: str) -> nn.Module:
    """Make the student from its base. path: folder or Hugging Face id of the encoder. Weights in float32."""
    if settings.head == "cls":
        config = AutoConfig.from_pretrained(path, num_labels=1)
        return ClsHead(AutoModelForSequenceClassification.from_pretrained(path, config=config, dtype=torch.float32))
    encoder: Any = AutoModel.from_pretrained(path, dtype=torch.float32)
    return InteractionHead(encoder, encoder.config.hidden_size)


def freeze_embeddings(student: nn.Module) -> None:
    """Leave the token embeddings out of training; everything above them learns."""
    base: Any = student.classifier.base_model if isinstance(student, ClsHead) else student.encoder
    base.get_input_embeddings().weight.requires_grad_(False)


def _masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Average states [pairs, tokens, hidden] where mask [pairs, tokens] is True; zeros where nowhere."""
    weights = mask.unsqueeze(2).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
