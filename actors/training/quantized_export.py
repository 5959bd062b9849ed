"""Quantize a student's model folder in any storage, on a Ray worker."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ranking.quantization_result import Quantization, QuantizationError
from ranking.storage.folder import Folder
from students import quantization_gate
from students.quantization_gate import JudgedList


def export_quantized(model: Folder, lists: Sequence[JudgedList]) -> Quantization | str:
    """Quantize a student and add the result, and model.int8.onnx if it is accepted, to its folder.

    If this is interrupted, the folder may be incomplete; training then exports the student again, because the stage is
    not finished.

    Args:
        model: Model folder of the student, in any storage.
        lists: Validation lists.

    Returns:
        The result, accepted or not, or the reason why the student cannot be quantized. The folder is then unchanged.
    """
    with tempfile.TemporaryDirectory() as local:
        path = Path(local) / "model"
        model.copy_to(Folder(path))
        try:
            result = quantization_gate.quantize(path, lists)
        except QuantizationError as reason:
            return str(reason)
        model.delete()
        Folder(path).copy_to(model)
    return result
