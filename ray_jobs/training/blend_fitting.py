"""Fit a student's blend, its combination with the first stage, on validation queries. Called by `ray_jobs.train`."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.blending import FORMS, Blend, Form
from ranking.records import CandidateList, Label
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.training.validation_scores import ValidationScores
from students import student_config
from students.student_settings import StudentSettings


def blend_student(run: Run, student: StudentSettings, validation: ValidationScores) -> None:
    """Choose how a student's scores are blended with the first stage's, and write the blend to the student config.

    Args:
        run: The run.
        student: The student.
        validation: The student's scores of the validation queries.
    """
    settings, model = student.blend, validation.model
    if settings.form == "none":
        return
    if settings.weight is not None and settings.form != "auto":
        student_config.write_blend(model, Blend(form=settings.form, weights={settings.form: settings.weight}))
        return
    blend = _fit_blend(run, student, validation, FORMS if settings.form == "auto" else (settings.form,))
    if blend is not None:
        student_config.write_blend(model, blend)


def blend_of(model: Folder) -> Blend | None:
    """Return the blend of a saved student; None if it is served alone."""
    saved = student_config.read(model).get("blend")
    return None if saved is None else Blend.model_validate(saved)


def _fit_blend(run: Run, student: StudentSettings, validation: ValidationScores, forms: Sequence[Form]) -> Blend | None:
    """Fit the blend on the validation lists and print the gain; None if the student alone is at least as good."""
    from students.blend_fit import ValidationList, fit

    labels = {query_id: label for query_id, label in validation.trained_labels.items() if _has_preference(label)}
    rows = [row for row in _candidates(run).read_rows(CandidateList) if row.query_id in labels] if labels else []
    lists = [_without_unseen(row, labels[row.query_id]) for row in rows]
    lists = [row for row in lists if len(row.candidates) > 1]
    if not lists:
        run.progress.stage("blend", f"{student.name} is served alone: no validation lists to fit a blend on")
        return None
    scores = validation.scores
    fitted = fit(
        [
            ValidationList(
                student=[scores[row.query_id][c.doc_id] for c in row.candidates],
                first_stage=[c.score for c in row.candidates],
                targets=_targets(row, labels[row.query_id]),
            )
            for row in lists
        ],
        forms,
    )
    gain = f"validation nDCG@10 {fitted.alone:.3f} alone, {fitted.blended:.3f} blended ({fitted.blend})"
    if fitted.blend.weight == 1.0:
        run.progress.stage(
            "blend", f"{student.name} is served alone: blending with the first stage does not help; {gain}"
        )
        return None
    run.progress.stage("blend", f"{student.name}: {gain}")
    return fitted.blend


def _candidates(run: Run) -> Folder:
    """Return the folder of the labelled queries' candidate lists, which contain the scores of the first stage."""
    external = run.plan.external_labels
    return run.plan.candidates.folder if external is None else external / "candidates"


def _has_preference(label: Label) -> bool:
    """Return whether a label prefers one document to another."""
    return len({c.target for c in label.candidates if c.tier != "unseen"}) > 1


def _without_unseen(row: CandidateList, label: Label) -> CandidateList:
    """Drop the documents that the teacher did not see."""
    seen = {c.doc_id for c in label.candidates if c.tier != "unseen"}
    return row.model_copy(update={"candidates": [c for c in row.candidates if c.doc_id in seen]})


def _targets(row: CandidateList, label: Label) -> list[float]:
    """Return the targets of a list's candidates, in the order of the list."""
    target = {c.doc_id: c.target for c in label.candidates}
    return [target[c.doc_id] for c in row.candidates]
