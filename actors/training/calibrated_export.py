"""Fold a calibration into a student's model folder, on a Ray worker."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ranking.calibration.calibrated_scores import Calibration, CalibrationError
from ranking.storage.folder import Folder
from students import calibrated_head, model_card
from students.export import ParityError


def export_calibrated(model: Folder, calibration: Calibration) -> str | None:
    """Fold a calibration into a model folder, and add it to the student config and the model card.

    If this is interrupted, the folder may be incomplete; training then exports the student again, because the stage is
    not finished.

    Args:
        model: Model folder of the student, in any storage.
        calibration: The calibration.

    Returns:
        The reason why the folder is unchanged; None if the calibration was folded.
    """
    with tempfile.TemporaryDirectory() as local:
        path = Path(local) / "model"
        model.copy_to(Folder(path))
        try:
            calibrated_head.fold(path, calibration)
        except (CalibrationError, ParityError) as error:
            return str(error)
        card = path / model_card.NAME
        card.write_text(model_card.with_calibration(card.read_text(encoding="utf-8"), calibration), encoding="utf-8")
        model.delete()
        Folder(path).copy_to(model)
    return None
