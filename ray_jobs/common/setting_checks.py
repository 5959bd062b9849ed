"""Checks of settings that concern several parts of a run file."""

from __future__ import annotations

from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.errors import InputError
from ray_jobs.common.run_settings import RunSettings


def check_recorded_collection(settings: RunSettings, where: str) -> None:
    """Raise InputError if the recorded teacher's rankings belong to another collection."""
    teacher, source = settings.teacher, settings.collection.source
    if settings.training.labels and not settings.evaluation.teacher:
        return  # the run does not use the teacher
    if isinstance(teacher, RecordedTeacherSettings) and teacher.collection not in (None, source):
        raise InputError(
            f"{where}: setting 'collection.source': {source!r}, but the rankings in {teacher.path} were recorded for "
            f"{teacher.collection!r}; for your own collection use configs/collection.yaml, which has a live teacher"
        )


def check_passages(settings: RunSettings, where: str) -> None:
    """Raise InputError if a student cannot read a whole passage."""
    for student in settings.students if settings.passages is not None else []:
        if settings.passages is not None and settings.passages.tokens >= student.max_length:
            raise InputError(
                f"{where}: setting 'passages.tokens': {settings.passages.tokens} leaves no room for the query in the "
                f"max_length of student {student.name!r}, {student.max_length}; lower passages.tokens or raise "
                "max_length"
            )


def check_distinct_names(settings: RunSettings, reserved: list[str], where: str) -> None:
    """Check that all systems of an evaluation have distinct names.

    Args:
        settings: Settings of the run.
        reserved: Names of the first stages, the pre-ranker and the teacher.
        where: Prefix of the error message.

    Raises:
        InputError: If two systems have the same name.
    """
    evaluation = settings.evaluation
    students = [student.name for student in settings.students]
    taken = [*reserved, *students, *(f"{name}.{form}" for name in students for form in ("base", "blended"))]
    for kind, name in [
        *(("runs", trec_run.name) for trec_run in evaluation.runs),
        *(("models", model.name) for model in evaluation.models),
    ]:
        if name in taken:
            raise InputError(
                f"{where}: setting 'evaluation.{kind}': the name {name!r} is taken by another system; choose another"
            )
        taken.append(name)
    for name in students:
        if name in reserved or any(name in (f"{other}.base", f"{other}.blended") for other in students):
            raise InputError(
                f"{where}: setting 'students': the name {name!r} is taken by another system; choose another"
            )
