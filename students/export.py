"""Save a student as a Hugging Face folder, load it again and check that it gives the same scores."""

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
from ranking.languages import ENGLISH
from students import onnx_file, parity
from students.classifier import PairClassifier
from students.forward_passes import forward_pairs
from students.kinds import AnySettings
from students.scoring import CONFIG_FILE, Scorer

_log = logging.getLogger("rradistill")

TOLERANCE = 1e-4
"""Maximum score difference. It is relative to the highest absolute score if that is above 1.

Rounding errors grow with the scores.
"""


class ParityError(RuntimeError):
    """The saved model does not give the same scores as the model in memory."""


def save(
    model: PairClassifier,
    tokenizer: Any,
    settings: AnySettings,
    folder: Path,
    probes: Sequence[tuple[str, str]],
    language: str = ENGLISH,
) -> None:
    """Save a student, load it again, and compare the scores of probe pairs in float32.

    The folder contains a sequence classifier with one label, which transformers and the CrossEncoder of
    sentence-transformers can load. For encoders of up to `onnx_file.MAX_PARAMETERS` weights, it also contains
    model.onnx, whose scores are compared too.

    Args:
        model: The student, without its training-only modules.
        tokenizer: The student's tokenizer.
        settings: Settings of the student.
        folder: Folder to write.
        probes: (query, document) pairs to compare scores on, at least one.
        language: Language of the collection, for the words that serving shows as matches.

    Raises:
        ParityError: If a score differs by more than 1e-4, or by more than 1e-4 times the highest absolute score if that
            is above 1. The folder is then removed.
    """
    tokenizer.model_max_length = settings.max_length
    model.classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = settings.model_dump(include={"name", "kind", "base", "revision", "precision", "max_length"})
    if language != ENGLISH:
        config["language"] = language
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2), encoding="utf-8")
    with torch.inference_mode():
        expected = forward_pairs(model.eval(), tokenizer, probes, settings.max_length).cpu()
    _compare(settings.name, "reloaded", expected, torch.tensor(Scorer(folder, "fp32", "torch").score(probes)), folder)
    parameters = sum(weights.numel() for weights in model.parameters())
    if settings.kind == "rra_bert" and parameters <= onnx_file.MAX_PARAMETERS:
        scores = _onnx_scores(model, tokenizer, settings, folder, probes)
        if scores is not None:
            _compare(settings.name, "onnxruntime's", expected, scores, folder)
    parity.write_probes(folder)


def _onnx_scores(
    model: PairClassifier, tokenizer: Any, settings: AnySettings, folder: Path, probes: Sequence[tuple[str, str]]
) -> Tensor | None:
    """Write model.onnx and score the probes with it.

    Returns:
        [pairs], or None if the architecture cannot be exported. Then there is no file, and the student is scored with
        PyTorch.
    """
    try:
        onnx_file.write(model, tokenizer, folder)
        return torch.tensor(Scorer(folder, "fp32", "onnx").score(probes))
    except Exception as error:
        (folder / onnx_file.NAME).unlink(missing_ok=True)
        _log.warning(
            "student %s: cannot export its architecture to %s (%s); torch scores this student",
            settings.name,
            onnx_file.NAME,
            first_line(error),
        )
        return None


def _compare(name: str, source: str, expected: Tensor, scores: Tensor, folder: Path) -> None:
    """Compare scores. If they differ by more than the tolerance, remove the folder and raise ParityError."""
    difference, limit = float((expected - scores).abs().max()), TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= limit:
        shutil.rmtree(folder)
        raise ParityError(
            f"student {name}: {source} scores differ by {difference:.2e}, more than {limit:.0e}; the model is not saved"
        )
