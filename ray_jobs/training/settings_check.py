"""Check that the training settings fit the labels and the student's base model."""

from __future__ import annotations

from ranking.errors import InputError
from ranking.languages import check_installed
from ray_jobs.common import model_checks
from ray_jobs.training.preparation import TrainingData
from students.student_settings import RraBertSettings, StudentSettings
from students.training_settings import TrainingSettings


def check_enough_labels(data: TrainingData, training: TrainingSettings) -> None:
    """Raise InputError if the training labels do not fill one optimizer step."""
    if len(data.train_ids) >= training.queries_per_step:
        return
    lower = ["training.queries_per_step", *(["training.validation_fraction"] if data.validation_ids else [])]
    lower += ["training.confidence.min_confidence"] if data.dropped_for_confidence else []
    raise InputError(
        f"{len(data.train_ids)} training labels are too few for one step of {training.queries_per_step} queries; "
        f"lower {' or '.join(lower)}"
    )


def check_language(student: StudentSettings, language: str) -> None:
    """Raise InputError if the student's Token Selection needs a language's tokenizer that is not installed."""
    if not isinstance(student, RraBertSettings) or student.term_control.form == "none":
        return
    if student.term_control.match == "word":
        check_installed(language)


def check_fit(student: StudentSettings, training: TrainingSettings, targets: str) -> None:
    """Check that the loss fits the kind of targets, and that the student fits its base model.

    Args:
        student: The student.
        training: Training settings.
        targets: Kind of the targets: `tiers`, `scores` or `grades`.

    Raises:
        InputError: If one of the two does not fit.
    """
    from students.losses import BY_TARGETS, OF_SCORES

    if targets != "scores" and training.loss in OF_SCORES:
        actual = "judgements are grades" if targets == "grades" else "these labels only contain an order"
        raise InputError(
            f"setting 'training.loss': {training.loss} needs teacher scores, but {actual}; use {BY_TARGETS[targets]}"
        )
    if targets != "grades" and training.loss == "info_nce":
        raise InputError(
            "setting 'training.loss': info_nce contrasts relevant with irrelevant candidates, but a teacher's labels "
            f"mark none as irrelevant; use {BY_TARGETS[targets]}, or set training.targets to judgements"
        )
    model_checks.check_student_base(student)
