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
from students.batches import chunks_by_length, pad, tokenize
from students.heads import ClsHead, Head, InteractionHead
from students.precision import dtype_of
from students.settings import Precision

CARD = "rradistill.json"
HEAD_WEIGHTS = "head.safetensors"
CHUNK_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens that go through the model at once: a processor is fastest where they stay in its cache."""


def forward_pairs(model: nn.Module, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> Tensor:
    """Score pairs of texts. Returns [pairs], float32, in the order given."""
    return forward_rows(model, tokenizer, tokenize(tokenizer, pairs, max_length))


def forward_rows(model: nn.Module, tokenizer: Any, rows: Sequence[dict[str, list[int]]], whole: bool = False) -> Tensor:
    """Score pairs, tokenised, in chunks of like length, each padded to its own longest.

    whole: all in one chunk. Returns what the model does, [pairs] or [pairs, scores], float32, in the order given.
    """
    device = next(model.parameters()).device
    lengths = [len(row["input_ids"]) for row in rows]
    scores, order = [], []
    for chunk in [list(range(len(rows)))] if whole and rows else chunks_by_length(lengths, CHUNK_TOKENS[device.type]):
        batch = pad(tokenizer, [rows[i] for i in chunk])
        scores.append(model({key: value.to(device) for key, value in batch.items()}))
        order += chunk
    back = torch.empty(len(order), dtype=torch.long, device=device)
    back[torch.tensor(order, dtype=torch.long, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(scores)[back] if scores else torch.zeros(0)


class Scorer:
    """A saved student, ready to score on this machine. Higher is better; scores have no fixed range."""

    def __init__(self, folder: str | Path, precision: Precision | None = None) -> None:
        """Load a folder that `students.export.save` wrote; precision: None for the one it was saved to be used with.

        Raises InputError where the folder is none.
        """
        folder = Path(folder)
        if not (folder / CARD).is_file():
            raise InputError(f"{folder}: no student is saved here ({CARD} is missing)")
        self.card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        self.max_length: int = self.card["max_length"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = dtype_of(precision or self.card["precision"], device)
        self.model = _load(folder, self.card).to(device, self.dtype).eval()

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score (query, document) pairs, in the order given."""
        scores: list[float] = forward_pairs(self.model, self.tokenizer, pairs, self.max_length).tolist()
        return scores


def _load(folder: Path, card: dict[str, Any]) -> Head:
    if card["head"] == "cls":
        return ClsHead(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32))
    model = InteractionHead(AutoModel.from_pretrained(folder, dtype=torch.float32), card["cross_bias"])
    model.linear.load_state_dict(load_file(folder / HEAD_WEIGHTS))
    return model
