"""The Term Control Layer: adds term-matching signals to [CLS] while the student is trained.

Known from RRADistill (Choi et al., EMNLP 2024 Industry): the layer uses the document tokens that Token Selection
selects, and is removed at inference. Both forms here, `TermLayer` and `TermGate`, are this project's reconstructions.
Each gives the student a second score in training, the term score. The loss is

    L = rank(score) + lambda * rank(term score)

The score that is served is computed without the layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from students.batches import KEYS, SEGMENTS
from students.classifier import PairClassifier
from students.student_settings import TermControlSettings
from students.token_selection import select_tokens


class TermLayer(nn.Module):
    """A Transformer encoder layer over the states of [CLS] and the selected tokens.

    A linear layer computes the term score from its output for [CLS].
    """

    def __init__(self, config: Any) -> None:
        """Create the layer with the encoder's sizes.

        Args:
            config: Hugging Face configuration of the encoder.
        """
        super().__init__()
        hidden, heads = config.hidden_size, config.num_attention_heads
        inner = getattr(config, "intermediate_size", 4 * hidden)  # DistilBERT's configuration has another name for it
        self.layer = nn.TransformerEncoderLayer(hidden, heads, inner, dropout=0.1, activation="gelu", batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, states: Tensor, selected: Tensor) -> Tensor:
        """Compute term scores.

        Args:
            states: Hidden states of the encoder, [pairs, tokens, hidden].
            selected: True for selected tokens, [pairs, tokens], bool.

        Returns:
            [pairs], float32.
        """
        attended = selected.clone()
        attended[:, 0] = True
        order = (~attended).long().argsort(dim=1, stable=True)[:, : int(attended.sum(dim=1).max())]
        packed = states.gather(1, order.unsqueeze(2).expand(-1, -1, states.shape[2]))
        outputs = self.layer(packed, src_key_padding_mask=~attended.gather(1, order))
        scores: Tensor = self.linear(outputs[:, 0])[:, 0]
        return scores.float()


class TermGate(nn.Module):
    """A gated residual that adds the mean state of the selected tokens to [CLS].

        h' = h + sigmoid(G [h; m]) * P m

    h is the state of [CLS], m the mean state of the selected tokens, G and P are linear layers. If no token is
    selected, m is 0 and [CLS] is unchanged. The student's own head computes the term score from h'.
    """

    def __init__(self, config: Any) -> None:
        """Create the gate with the encoder's hidden size.

        Args:
            config: Hugging Face configuration of the encoder.
        """
        super().__init__()
        hidden = config.hidden_size
        self.gate = nn.Linear(2 * hidden, hidden)
        self.project = nn.Linear(hidden, hidden, bias=False)

    def forward(self, states: Tensor, selected: Tensor) -> Tensor:
        """Update the state of [CLS].

        Args:
            states: Hidden states of the encoder's last layer, [pairs, tokens, hidden].
            selected: True for selected tokens, [pairs, tokens], bool.

        Returns:
            The states with the new state of [CLS], [pairs, tokens, hidden].
        """
        mask = selected.unsqueeze(2).to(states.dtype)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        first = states[:, 0]
        updated = first + torch.sigmoid(self.gate(torch.cat([first, mean], dim=1))) * self.project(mean)
        return torch.cat([updated.unsqueeze(1), states[:, 1:]], dim=1)


class TermControlled(nn.Module):
    """A student with its Term Control Layer, for training. Only the student is saved."""

    def __init__(self, student: PairClassifier, settings: TermControlSettings) -> None:
        """Add a Term Control Layer of the configured form."""
        super().__init__()
        self.student = student
        self.layer = settings.layer
        self.control: nn.Module = TermLayer(student.config) if settings.form == "layer" else TermGate(student.config)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs.

        Args:
            batch: A batch from `students.batches.pad`, with the input `keys` for Token Selection.

        Returns:
            [pairs, 2]: score and term score.
        """
        states, scores = self.student.states_and_scores(batch)
        selected = select_tokens(batch[KEYS], batch[SEGMENTS])
        output = self.control(states[self.layer], selected)
        terms = output if isinstance(self.control, TermLayer) else self.student.score_states(output, batch)
        return torch.stack([scores, terms], dim=1)
