"""The Term Control Layer: term-matching signals of the selected tokens, put into [CLS] while the student learns.

Known from RRADistill (Choi et al., EMNLP 2024 Industry): such a layer stands on Token Selection, and is left out at
inference. Both forms here are this project's reconstructions. Each gives the student a second score in training,

    L = rank(score) + lambda * rank(term score)

and the score that is served is computed without it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from students.batches import KEYS, SEGMENTS
from students.classifier import PairClassifier
from students.settings import TermControlSettings
from students.token_selection import select_tokens


class TermLayer(nn.Module):
    """One Transformer encoder layer over [CLS] and the selected states, and a linear term score on its [CLS]."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        hidden, heads = config.hidden_size, config.num_attention_heads
        inner = getattr(config, "intermediate_size", 4 * hidden)  # DistilBERT's configuration calls it otherwise
        self.layer = nn.TransformerEncoderLayer(hidden, heads, inner, dropout=0.1, activation="gelu", batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, states: Tensor, selected: Tensor) -> Tensor:
        """states: [pairs, tokens, hidden]. selected: [pairs, tokens], bool. Returns term scores, [pairs], float32."""
        kept = selected.clone()
        kept[:, 0] = True
        order = (~kept).long().argsort(dim=1, stable=True)[:, : int(kept.sum(dim=1).max())]
        packed = states.gather(1, order.unsqueeze(2).expand(-1, -1, states.shape[2]))
        read = self.layer(packed, src_key_padding_mask=~kept.gather(1, order))
        scores: Tensor = self.linear(read[:, 0])[:, 0]
        return scores.float()


class TermGate(nn.Module):
    """A gated residual of the mean selected state into [CLS]:

        h' = h + sigmoid(G [h; m]) * P m

    m: mean of the selected states, zero where there is none, so that [CLS] stays as it is. The student's own head
    scores h'.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.gate = nn.Linear(2 * hidden, hidden)
        self.project = nn.Linear(hidden, hidden, bias=False)

    def forward(self, states: Tensor, selected: Tensor) -> Tensor:
        """states: [pairs, tokens, hidden]. selected: [pairs, tokens], bool. Returns states with another [CLS]."""
        share = selected.unsqueeze(2).to(states.dtype)
        mean = (states * share).sum(dim=1) / share.sum(dim=1).clamp(min=1.0)
        first = states[:, 0]
        moved = first + torch.sigmoid(self.gate(torch.cat([first, mean], dim=1))) * self.project(mean)
        return torch.cat([moved.unsqueeze(1), states[:, 1:]], dim=1)


class TermControlled(nn.Module):
    """A student in training, with its Term Control Layer. The student itself is the part that is kept."""

    def __init__(self, student: PairClassifier, settings: TermControlSettings) -> None:
        super().__init__()
        self.student = student
        self.layer = settings.layer
        self.control: nn.Module = TermLayer(student.config) if settings.form == "layer" else TermGate(student.config)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. batch: as `students.batches.pad` makes it, with keys. Returns [pairs, 2]: score, term score."""
        states, scores = self.student.states_and_scores(batch)
        selected = select_tokens(batch[KEYS], batch[SEGMENTS])
        told = self.control(states[self.layer], selected)
        terms = told if isinstance(self.control, TermLayer) else self.student.of_states(told, batch)
        return torch.stack([scores, terms], dim=1)
