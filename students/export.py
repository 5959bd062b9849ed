"""Saving a student: a Hugging Face folder that is reloaded and must score as the student did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from students import onnx_file, parity
from students.heads import ClsHead, Head, InteractionHead
from students.kinds import AnySettings
from students.scoring import CARD, HEAD_WEIGHTS, Scorer, forward_pairs

PARITY = 1e-4


class ParityError(RuntimeError):
    """The reloaded model does not score as the one in memory."""


def save(model: Head, tokenizer: Any, settings: AnySettings, folder: Path, probes: Sequence[tuple[str, str]]) -> None:
    """Write the student, reload it, and compare the scores of probe pairs in float32.

    With the `cls` head the folder is a sequence classifier with one label for transformers and
    sentence-transformers' CrossEncoder. Encoders have model.onnx beside it, compared too.
    probes: (query, document) pairs, at least one.
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
    if isinstance(model, InteractionHead):
        card["cross_bias"] = model.cross_bias
    (folder / CARD).write_text(json.dumps(card, indent=2), encoding="utf-8")
    with torch.inference_mode():
        expected = forward_pairs(model.eval(), tokenizer, probes, settings.max_length).cpu()
    _compare(settings.name, "reloaded", expected, torch.tensor(Scorer(folder, "fp32", "torch").score(probes)), folder)
    if settings.kind == "rra_bert" and sum(weights.numel() for weights in model.parameters()) <= onnx_file.LARGEST:
        onnx_file.write(model, tokenizer, folder)
        _compare(settings.name, "onnxruntime's", expected, torch.tensor(Scorer(folder, "fp32", "onnx").score(probes)), folder)
    parity.write_probes(folder)


def centre(model: Head, mean_score: float) -> None:
    """Shift an interaction head's bias so that scores lie around zero, where a sigmoid still tells them apart.

    The losses see differences only, so they leave the bias free. mean_score: mean over training pairs.
    """
    if isinstance(model, InteractionHead):
        with torch.no_grad():
            model.linear.bias.sub_(mean_score)


def _compare(name: str, what: str, expected: Tensor, found: Tensor, folder: Path) -> None:
    worst = float((expected - found).abs().max())
    if not worst <= PARITY:
        shutil.rmtree(folder)
        raise ParityError(f"student {name}: {what} scores differ by {worst:.2e}, more than {PARITY:.0e}; not saved")
