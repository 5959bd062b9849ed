"""Scoring pairs with a saved student: the one function behind evaluation, serving and the parity check."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ranking.errors import InputError
from students.batches import chunks_by_length, encode
from students.rra_bert import ClsHead, InteractionHead

CARD = "rradistill.json"
HEAD_WEIGHTS = "head.safetensors"


def forward_pairs(model: nn.Module, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> Tensor:
    """Score pairs in chunks of like length, each padded to its own longest. Returns [pairs], float32, in the order given."""
    device = next(model.parameters()).device
    scores, order = [], []
    for chunk in chunks_by_length(pairs):
        batch = encode(tokenizer, [pairs[i] for i in chunk], max_length)
        scores.append(model({key: value.to(device) for key, value in batch.items()}))
        order += chunk
    back = torch.empty(len(order), dtype=torch.long, device=device)
    back[torch.tensor(order, dtype=torch.long, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(scores)[back] if scores else torch.zeros(0)


class Scorer:
    """A saved student, ready to score on this machine. Higher is better; scores have no fixed range."""

    def __init__(self, folder: str | Path) -> None:
        """Load a folder that `students.export.save` wrote. Raises InputError where it is none."""
        folder = Path(folder)
        if not (folder / CARD).is_file():
            raise InputError(f"{folder}: no student is saved here ({CARD} is missing)")
        self.card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        self.max_length: int = self.card["max_length"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = _load(folder, self.card).eval()

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score (query, document) pairs, in the order given."""
        scores: list[float] = forward_pairs(self.model, self.tokenizer, pairs, self.max_length).tolist()
        return scores


def _load(folder: Path, card: dict[str, Any]) -> nn.Module:
    if card["head"] == "cls":
        return ClsHead(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32))
    encoder: Any = AutoModel.from_pretrained(folder, dtype=torch.float32)
    model = InteractionHead(encoder, encoder.config.hidden_size)
    model.linear.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    return model
