"""Add the calibration of each student to the results of an evaluation."""

from __future__ import annotations

from ranking.evaluation.results import Metrics
from ray_jobs.common.run import Run
from ray_jobs.evaluation.systems import trained_model
from ray_jobs.training.calibration_fitting import calibration_note_of, calibration_of


def add_calibrations(run: Run, metrics: Metrics) -> None:
    """Add the students' calibrations, and a note for each student whose scores could not be calibrated."""
    for student in run.settings.students:
        model = trained_model(run, student.name)
        calibration, note = calibration_of(model), calibration_note_of(model)
        if calibration is not None:
            metrics.calibrations[student.name] = calibration
        if note is not None:
            metrics.notes.append(f"{student.name}: the scores are not calibrated: {note}")
