"""Costs of the labels behind a system: a student's training labels, or the teacher's labels of the test queries."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.evaluation.comparison import System
from ranking.evaluation.decision import name_of
from ranking.evaluation.report.label_section import cost_of
from ranking.evaluation.results import LabelCost
from ranking.runs.stages import manifest_of
from ray_jobs.common.run import Run
from students.student_settings import StudentSettings


def add_label_costs(run: Run, systems: Sequence[System]) -> None:
    """Store the label cost of each student and of the teacher in their results."""
    students = {student.name: student for student in run.settings.students}
    for system in systems:
        if system.result.kind in ("student", "blended"):
            system.result.label_cost = student_cost(run, students[name_of(system.result)])
        elif system.result.kind == "teacher":
            system.result.label_cost = teacher_cost(run)


def student_cost(run: Run, student: StudentSettings) -> LabelCost | None:
    """Compute the cost of a student's labels, and of its rationales if it was trained on them.

    Returns None if the student was trained on judgements, or if the labels or rationales are not finished with these
    settings.
    """
    if run.settings.training.targets == "judgements":
        return None
    inputs = [
        run.plan.labels_for_training,
        *([run.plan.rationales_for_training] if run.plan.reads_rationales(student) else []),
    ]
    manifests = [
        manifest
        for training_input in inputs
        if (manifest := manifest_of(training_input.folder)) is not None
        and manifest.fingerprint == training_input.fingerprint
    ]
    return cost_of(manifests, run.settings.compute.engine_hour_price) if len(manifests) == len(inputs) else None


def teacher_cost(run: Run) -> LabelCost | None:
    """Compute the cost of the teacher's labels of the test queries; None if they are not finished."""
    manifest = run.plan.test_labels.manifest
    return cost_of([manifest], run.settings.compute.engine_hour_price) if manifest is not None else None
