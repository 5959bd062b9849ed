"""What the labels of each system took: of a student what it learned from, of the teacher its answers to the test queries."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.evaluation.comparison import System
from ranking.evaluation.decision import name_of
from ranking.evaluation.report.label_section import cost_of
from ranking.evaluation.results import LabelCost
from ranking.runs.stages import Manifest, manifest_of
from ray_jobs.common import plan
from ray_jobs.common.run import Run
from students.settings import StudentSettings


def note(run: Run, systems: Sequence[System]) -> None:
    """Note with each student, and with the teacher, what their labels took."""
    students = {student.name: student for student in run.settings.students}
    for system in systems:
        if system.result.kind in ("student", "blended"):
            system.result.label_cost = of_student(run, students[name_of(system.result)])
        elif system.result.kind == "teacher":
            system.result.label_cost = of_teacher(run)


def of_student(run: Run, student: StudentSettings) -> LabelCost | None:
    """What its labels took, and its rationales where it learned from any; None for one that learned from judgements."""
    if run.settings.training.targets == "judgements":
        return None
    learned = [
        plan.labels_to_learn(run),
        *([plan.rationales_to_learn(run)] if plan.reads_rationales(run, student) else []),
    ]
    manifests = [
        found
        for part in learned
        if (found := manifest_of(part.folder)) is not None and found.fingerprint == part.fingerprint
    ]
    return priced(run, manifests) if len(manifests) == len(learned) else None


def of_teacher(run: Run) -> LabelCost | None:
    """What its answers to the test queries took."""
    manifest = plan.labels_stage(run, "test").manifest
    return priced(run, [manifest]) if manifest is not None else None


def priced(run: Run, manifests: Sequence[Manifest]) -> LabelCost:
    """What finished stages took. manifests: that of the labels first; of older versions they lack their engines, and have the settings'."""
    compute = run.settings.compute
    engines = (compute.teacher_engines, compute.rationale_engines)
    held = [
        one.model_copy(update={"engines": one.engines or count}) for one, count in zip(manifests, engines, strict=False)
    ]
    return cost_of(held, compute.engine_hour_price)
