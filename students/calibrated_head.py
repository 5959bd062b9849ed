"""Fold a calibration into the head of a saved student.

The head's last layer is linear, so `slope * score + offset` is the same layer with its weight multiplied by the slope
and its bias replaced by `slope * bias + offset`. Every library that loads the folder then gives the calibrated scores,
and their sigmoid is the probability of relevance. The order does not change, because the slope is positive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ranking.calibration.calibrated_scores import Calibration, CalibrationError
from ranking.storage.folder import Folder
from students import onnx_file, parity, student_config
from students.classifier import PairClassifier
from students.export import TOLERANCE, ParityError
from students.scoring import Engine, Scorer


def fold(folder: Path, calibration: Calibration) -> None:
    """Fold a calibration into the weights of a saved student, and add it to the student config.

    Writes the weights, model.onnx if the folder has it, and the probe scores again. Then loads the folder again and
    compares the scores of the probes with the calibrated scores of before.

    Args:
        folder: Local folder of the student.
        calibration: The calibration.

    Raises:
        CalibrationError: If the head has no bias that the offset can be added to. The folder is unchanged.
        ParityError: If the new scores differ from the calibrated ones. The folder is then damaged.
    """
    before = torch.tensor(Scorer(folder, "fp32", "torch").score(parity.PROBES))
    classifier = AutoModelForSequenceClassification.from_pretrained(
        folder, trust_remote_code=False, dtype=torch.float32
    )
    with torch.no_grad():
        rescale(output_layer(classifier), calibration.slope, calibration.offset)
    classifier.save_pretrained(folder)
    has_onnx = (folder / onnx_file.NAME).is_file()
    if has_onnx:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        onnx_file.write(PairClassifier(classifier).eval(), tokenizer, folder)
    expected = calibration.slope * before + calibration.offset
    for engine in ("torch", "onnx") if has_onnx else ("torch",):
        _compare(folder, engine, expected, calibration.slope)
    parity.write_probes(folder)
    student_config.write_calibration(Folder(folder), calibration)


def output_layer(classifier: Any) -> nn.Linear:
    """Return the linear layer that computes the score.

    Raises:
        CalibrationError: If there is no such layer, or it has no bias. The decoders of transformers have none.
    """
    heads = [child for name, child in classifier.named_children() if name != classifier.base_model_prefix]
    layers = [layer for head in heads for layer in head.modules() if isinstance(layer, nn.Linear)]
    layers = [layer for layer in layers if layer.out_features == 1]
    if len(layers) != 1 or layers[0].bias is None:
        raise CalibrationError(
            f"the head of {type(classifier).__name__} has no bias, so it cannot contain the offset of a calibration"
        )
    return layers[0]


def rescale(layer: nn.Linear, slope: float, offset: float) -> None:
    """Change a layer in place so that it computes slope * output + offset."""
    layer.weight.mul_(slope)
    layer.bias.mul_(slope).add_(offset)


def _compare(folder: Path, engine: Engine, expected: torch.Tensor, slope: float) -> None:
    """Compare the probe scores of a folder with the expected ones.

    Raises:
        ParityError: If a score differs by more than the tolerance of `students.export`, which grows with the slope.
    """
    scores = torch.tensor(Scorer(folder, "fp32", engine).score(parity.PROBES))
    difference = float((expected - scores).abs().max())
    limit = TOLERANCE * max(1.0, slope, float(expected.abs().max()))
    if not difference <= limit:
        raise ParityError(
            f"calibrated scores in {engine} differ by {difference:.2e} from the expected ones, more than {limit:.0e}"
        )
