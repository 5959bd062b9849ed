"""The student config: the file rradistill.json in a saved student's folder, which says how to load and use the student.

This module does not import torch.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from ranking.blending import Blend
from ranking.calibration.calibrated_scores import Calibration
from ranking.errors import CorruptFileError, InputError
from ranking.passage_settings import PassageSettings
from ranking.quantization_result import Quantization
from ranking.storage.folder import Folder

NAME = "rradistill.json"
"""Name of the student config file."""


def read(model: Folder, display_name: str | None = None) -> dict[str, Any]:
    """Read the config of a saved student.

    Args:
        model: Folder of the student.
        display_name: Name of the folder in error messages; None for its URI.

    Raises:
        InputError: If the folder contains no student, or one that this version cannot load.
    """
    where = display_name or model.uri
    if not model.exists(NAME):
        raise InputError(f"{where}: not a saved student ({NAME} is missing)")
    try:
        config = model.read_json(NAME)
    except CorruptFileError as error:
        raise InputError(f"{where}: {NAME} is {error.problem}; copy or train this student again") from None
    if not isinstance(config, dict):
        raise InputError(f"{where}: {NAME} is not a JSON object; copy or train this student again")
    return config


def write_blend(model: Folder, blend: Blend) -> None:
    """Add a blend of the student with the first stage to the config of a saved student."""
    _add(model, "blend", blend.model_dump())


def write_calibration(model: Folder, calibration: Calibration) -> None:
    """Add the calibration of its head to the config of a saved student."""
    _add(model, "calibration", calibration.model_dump())


def write_calibration_note(model: Folder, reason: str) -> None:
    """Add the reason why its scores are not calibrated to the config of a saved student."""
    _add(model, "calibration_note", reason)


def write_quantization(model: Folder, quantization: Quantization) -> None:
    """Add the result of quantizing it, accepted or not, to the config of a saved student."""
    _add(model, "quantization", quantization.model_dump())


def write_quantization_note(model: Folder, reason: str) -> None:
    """Add the reason why it cannot be quantized to the config of a saved student."""
    _add(model, "quantization_note", reason)


def quantization_of(config: dict[str, Any], display_name: str) -> Quantization | None:
    """Return the result of quantizing a student from its config. None if it was not quantized.

    Args:
        config: Content of the config file.
        display_name: Name of the student's folder in error messages.

    Raises:
        InputError: If the result is invalid.
    """
    saved = config.get("quantization")
    try:
        return None if saved is None else Quantization.model_validate(saved)
    except ValidationError as error:
        raise InputError(f"{display_name}: {_invalid('quantization', error)}") from None


def write_passages(model: Folder, passages: PassageSettings) -> None:
    """Add the passages that a student was trained on to its config, so it is evaluated and served with the same."""
    _add(model, "passages", passages.model_dump())


def passages_of(config: dict[str, Any], display_name: str) -> PassageSettings | None:
    """Return the passage settings in a student config. None if the student reads the beginning of each document.

    Args:
        config: Content of the config file.
        display_name: Name of the student's folder in error messages.

    Raises:
        InputError: If the settings are invalid.
    """
    saved = config.get("passages")
    try:
        return None if saved is None else PassageSettings.model_validate(saved)
    except ValidationError as error:
        raise InputError(f"{display_name}: {_invalid('passages', error)}") from None


def _invalid(key: str, error: ValidationError) -> str:
    """Describe an invalid value in a student config."""
    first = error.errors(include_url=False)[0]
    return f"{NAME} has invalid {key} ({first['msg'].lower()}); copy or train this student again"


def _add(model: Folder, key: str, value: Any) -> None:
    """Add a key to the config of a saved student."""
    model.write_text(NAME, json.dumps(read(model) | {key: value}, indent=2, ensure_ascii=False))
