"""Calibrate a student's scores on validation queries. Called by `ray_jobs.train`."""

from __future__ import annotations

from typing import Literal

from ranking.calibration.calibrated_scores import (
    Calibration,
    CalibrationError,
    CalibrationSource,
    QueryScores,
    fit_calibration,
    has_enough,
)
from ranking.labels.relevance import relevance
from ranking.records import Label
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.training.validation_scores import ValidationScores
from students import student_config
from students.student_settings import StudentSettings

Choice = Literal["none", "auto", "judgements", "teacher"]


def calibrate_student(run: Run, student: StudentSettings, validation: ValidationScores) -> None:
    """Fit a student's calibration, fold it into its model folder, and add it to its config and model card.

    A student whose scores cannot be calibrated keeps its raw scores. The reason is printed and written to its config.
    """
    choice = run.settings.training.calibrate
    if choice == "none":
        return
    try:
        if student.kind == "rra_gpt":
            raise CalibrationError("the ranking layer of a decoder has no bias that the offset can be added to")
        calibration = _fit(run, validation, choice)
        _fold(validation.model, calibration)
    except CalibrationError as reason:
        student_config.write_calibration_note(validation.model, str(reason))
        run.progress.stage("calibration", f"{student.name} keeps its raw scores: {reason}")
        return
    run.progress.stage(
        "calibration",
        f"{student.name}: fitted on {calibration.pairs:,} validation documents, relevant by {calibration.relevance}; "
        f"expected calibration error {calibration.ece_before:.3f} before, {calibration.ece:.3f} after",
    )


def calibration_of(model: Folder) -> Calibration | None:
    """Return the calibration of a saved student; None if its scores are not calibrated."""
    saved = student_config.read(model).get("calibration")
    return None if saved is None else Calibration.model_validate(saved)


def calibration_note_of(model: Folder) -> str | None:
    """Return the reason why calibrating a saved student was refused; None if it was not."""
    note: str | None = student_config.read(model).get("calibration_note")
    return note


def _fit(run: Run, validation: ValidationScores, choice: Choice) -> Calibration:
    """Fit a calibration on the chosen source of relevance.

    Raises:
        CalibrationError: If the scores cannot be calibrated.
    """
    # Query ids of another run's labels do not refer to this collection.
    grades = {} if run.settings.training.labels else run.collection.log_qrels
    if choice != "teacher":
        judged = validation.judged(grades)
        flags = {query_id: [c.target > 0 for c in label.candidates] for query_id, label in judged.items()}
        rows = _rows(validation, judged, flags)
        if choice == "judgements" or has_enough(rows):
            return fit_calibration(rows, "judgements", run.settings.training.relevant_grade)
    flags = {query_id: relevance(label) for query_id, label in validation.labels.items()}
    source: CalibrationSource = "teacher"
    return fit_calibration(_rows(validation, validation.labels, flags), source)


def _rows(validation: ValidationScores, labels: dict[str, Label], relevant: dict[str, list[bool]]) -> list[QueryScores]:
    """Pair the scores of each query's documents with their relevance.

    Args:
        validation: Scores of the documents that the teacher was shown.
        labels: Labels of the queries to use.
        relevant: Whether each candidate of a label is relevant, by query.
    """
    rows = []
    for query_id, label in labels.items():
        scores = validation.scores.get(query_id, {})
        pairs = [
            (scores[c.doc_id], flag)
            for c, flag in zip(label.candidates, relevant[query_id], strict=True)
            if c.doc_id in scores
        ]
        rows.append(QueryScores(query_id, [score for score, _ in pairs], [flag for _, flag in pairs]))
    return rows


def _fold(model: Folder, calibration: Calibration) -> None:
    """Fold a calibration into a model folder on a worker.

    Raises:
        CalibrationError: If the student's head cannot contain the calibration.
    """
    import ray

    from actors.training.calibrated_export import export_calibrated

    reason = ray.get(ray.remote(export_calibrated).remote(model, calibration))
    if reason is not None:
        raise CalibrationError(reason)
