"""Saving a student: a Hugging Face folder that is reloaded and must score as the student did."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ranking.errors import first_line
from students import onnx_file, parity
from students.classifier import PairClassifier
from students.kinds import AnySettings
from students.scoring import CARD, Scorer, forward_pairs

_log = logging.getLogger("rradistill")

PARITY = 1e-4
"""Of the highest score, where that is above 1: rounding grows with the scores."""


class ParityError(RuntimeError):
    """The reloaded model does not score as the one in memory."""


def save(
    model: PairClassifier, tokenizer: Any, settings: AnySettings, folder: Path, probes: Sequence[tuple[str, str]]
) -> None:
    """Write the student, reload it, and compare the scores of probe pairs in float32.

    The folder is a sequence classifier with one label for transformers and sentence-transformers' CrossEncoder. Encoders
    have model.onnx beside it, compared too.
    probes: (query, document) pairs, at least one.
    Raises ParityError where a score differs by more than 1e-4 of the highest, or of 1; the folder is then removed.
    """
    tokenizer.model_max_length = settings.max_length
    model.classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = settings.model_dump(include={"name", "kind", "base", "precision", "max_length"})
    (folder / CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")
    with torch.inference_mode():
        expected = forward_pairs(model.eval(), tokenizer, probes, settings.max_length).cpu()
    _compare(settings.name, "reloaded", expected, torch.tensor(Scorer(folder, "fp32", "torch").score(probes)), folder)
    if settings.kind == "rra_bert" and sum(weights.numel() for weights in model.parameters()) <= onnx_file.LARGEST:
        found = _onnx_scores(model, tokenizer, settings, folder, probes)
        if found is not None:
            _compare(settings.name, "onnxruntime's", expected, found, folder)
    parity.write_probes(folder)


def _onnx_scores(
    model: PairClassifier, tokenizer: Any, settings: AnySettings, folder: Path, probes: Sequence[tuple[str, str]]
) -> Tensor | None:
    """Write model.onnx and score by it; None, and no file, where the architecture cannot be written so: torch then scores it."""
    try:
        onnx_file.write(model, tokenizer, folder)
        return torch.tensor(Scorer(folder, "fp32", "onnx").score(probes))
    except Exception as error:
        (folder / onnx_file.NAME).unlink(missing_ok=True)
        why = first_line(error)
        _log.warning(
            "student %s: has no %s, as its architecture cannot be written so (%s)", settings.name, onnx_file.NAME, why
        )
        return None


def _compare(name: str, what: str, expected: Tensor, found: Tensor, folder: Path) -> None:
    worst, most = float((expected - found).abs().max()), PARITY * max(1.0, float(expected.abs().max()))
    if not worst <= most:
        shutil.rmtree(folder)
        raise ParityError(f"student {name}: {what} scores differ by {worst:.2e}, more than {most:.0e}; not saved")
