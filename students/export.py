"""Saving a student: a Hugging Face folder that is reloaded and must score as the student did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from students.heads import ClsHead, Head, InteractionHead
from students.kinds import AnySettings
from students.scoring import CARD, HEAD_WEIGHTS, Scorer, forward_pairs

PARITY = 1e-4


class ParityError(RuntimeError):
    """The reloaded model does not score as the one in memory."""


def save(model: Head, tokenizer: Any, settings: AnySettings, folder: Path, probes: Sequence[tuple[str, str]]) -> None:
    """Write the student, reload it, and compare the scores of probe pairs in float32.

    With the `cls` head the folder is a sequence classifier with one label for transformers and
    sentence-transformers' CrossEncoder. probes: (query, document) pairs, at least one.
    Raises ParityError where a score differs by more than 1e-4; the folder is then removed.
    """
    tokenizer.model_max_length = settings.max_length
    if isinstance(model, ClsHead):
        model.classifier.save_pretrained(folder)
    elif isinstance(model, InteractionHead):
        model.encoder.save_pretrained(folder)
        save_file({key: value.contiguous() for key, value in model.linear.state_dict().items()}, folder / HEAD_WEIGHTS)
    tokenizer.save_pretrained(folder)
    card = settings.model_dump(include={"name", "kind", "base", "precision", "max_length"}) | {"head": settings.head}
    (folder / CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")
    worst = _largest_difference(model, tokenizer, settings.max_length, folder, probes)
    if not worst <= PARITY:
        shutil.rmtree(folder)
        raise ParityError(f"student {settings.name}: reloaded scores differ by {worst:.2e}, more than {PARITY:.0e}; not saved")


def centre(model: Head, mean_score: float) -> None:
    """Shift an interaction head's bias so that scores lie around zero, where a sigmoid still tells them apart.

    The losses see differences only, so they leave the bias free. mean_score: mean over training pairs.
    """
    if isinstance(model, InteractionHead):
        with torch.no_grad():
            model.linear.bias.sub_(mean_score)


def _largest_difference(model: Head, tokenizer: Any, max_length: int, folder: Path, probes: Sequence[tuple[str, str]]) -> float:
    with torch.inference_mode():
        before = forward_pairs(model.eval(), tokenizer, probes, max_length)
    after = torch.tensor(Scorer(folder, "fp32").score(probes))
    return float((before - after).abs().max())
