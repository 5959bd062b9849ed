"""The order in which the students of a run are trained: a student after the student that it is distilled from."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.errors import InputError
from students.student_settings import RraBertSettings, StudentSettings


def source_of(student: StudentSettings, students: Sequence[StudentSettings]) -> StudentSettings | None:
    """Return the student that a student is distilled from. None if it only learns from the labels.

    Args:
        student: The student.
        students: All students of the run. Their order has been checked with `training_order`.
    """
    if not isinstance(student, RraBertSettings) or student.distillation is None:
        return None
    name = student.distillation.student
    return next(other for other in students if other.name == name)


def training_order(students: Sequence[StudentSettings], where: str = "") -> list[StudentSettings]:
    """Order students so that each follows its source. Otherwise, keeps their order.

    Args:
        students: All students of the run.
        where: Start of the error message, such as the run file.

    Raises:
        InputError: If a student is distilled from itself, from an unknown student, or in a cycle.
    """
    setting = f"{where}setting 'students'"
    _check_names(students, setting)
    ordered: list[StudentSettings] = []
    for student in students:
        chain = [student]
        while (source := source_of(chain[-1], students)) is not None:
            if source in chain:
                names = " from ".join(repr(one.name) for one in [*chain[chain.index(source) :], source])
                raise InputError(
                    f"{setting}: students are distilled from each other in a cycle, {names}; "
                    "remove one of their distillation settings"
                )
            chain.append(source)
        ordered += [one for one in reversed(chain) if one not in ordered]
    return ordered


def _check_names(students: Sequence[StudentSettings], setting: str) -> None:
    """Raise InputError if a student is distilled from itself or from a student that the run does not have."""
    for student in students:
        if not isinstance(student, RraBertSettings) or student.distillation is None:
            continue
        name, others = student.distillation.student, [other.name for other in students if other is not student]
        if name == student.name:
            raise InputError(f"{setting}: student {name!r} cannot be distilled from itself; name another student")
        if name not in others:
            known = f"use one of {', '.join(others)}" if others else "add that student to the run"
            raise InputError(f"{setting}: student {student.name!r} is distilled from the unknown {name!r}; {known}")
