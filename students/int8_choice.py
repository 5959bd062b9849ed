"""Decide whether a saved student is scored with its int8 model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ranking.errors import InputError
from students import onnx_file, student_config
from students.precision import has_native_int8
from students.student_settings import Precision, ScoringPrecision

_log = logging.getLogger("rradistill")


def use_int8(precision: ScoringPrecision, folder: Path, config: dict[str, Any], device: str, where: str) -> bool:
    """Return whether to score with model.int8.onnx.

    Precision `auto` uses it on a CPU if it was accepted. A CPU without int8 instructions does not use it even if the
    precision is int8, because its sums of products could overflow; it has the scores of the other precisions.

    Args:
        precision: The requested precision.
        folder: Folder of the student.
        config: The student config.
        device: `cpu` or `cuda`.
        where: Name of the folder in messages.

    Raises:
        InputError: If the precision is int8, but there is no accepted int8 file.
    """
    if precision not in ("auto", "int8"):
        return False
    quantization = student_config.quantization_of(config, where)
    if quantization is None or not quantization.accepted or not (folder / onnx_file.INT8_NAME).is_file():
        if precision == "auto":
            return False
        raise InputError(
            f"{where}: precision int8 needs an accepted {onnx_file.INT8_NAME}; train the student with "
            "training.quantize: int8, or use precision auto"
        )
    if device == "cpu" and not has_native_int8():
        _log.warning("%s: %s is not used: this CPU has no int8 instructions (VNNI or AMX)", where, onnx_file.INT8_NAME)
    return device == "cpu" and has_native_int8()


def without_int8(precision: ScoringPrecision) -> Precision:
    """Return the precision of layers that are not in int8."""
    return "auto" if precision == "int8" else precision
