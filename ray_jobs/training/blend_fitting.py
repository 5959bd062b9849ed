"""Fitting a trained student's blend with the first stage, on the validation queries; called by `ray_jobs.train`."""

from __future__ import annotations

from collections.abc import Sequence

from actors.data.rows import CandidateList
from actors.scoring.scorers import Model
from ranking.blending import FORMS, Blend, Form
from ranking.labels.label_views import graded
from ranking.records import Label
from ranking.storage.folder import Folder
from ray_jobs.common import plan
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run
from students import student_config
from students.settings import StudentSettings

Grades = dict[str, dict[str, int]]


def blend_student(
    run: Run,
    student: StudentSettings,
    model: Folder,
    labels: Folder,
    validation: Sequence[str],
    grades: Grades | None = None,
) -> None:
    """Choose a student's blend and write it into its config.

    model: the student's folder. validation: ids of the validation queries. grades: {query_id: {doc_id: grade}} where the student learned
    from judgements instead of the labels.
    """
    settings = student.blend
    if settings.form == "none":
        return
    if settings.weight is not None and settings.form != "auto":
        student_config.write_blend(model, Blend(form=settings.form, weights={settings.form: settings.weight}))
        return
    found = _fitted(
        run,
        student,
        model,
        _targeted(run, labels, validation, grades),
        FORMS if settings.form == "auto" else (settings.form,),
    )
    if found is not None:
        student_config.write_blend(model, found)


def blend_of(model: Folder) -> Blend | None:
    """The blend of a saved student; None for a student that is served alone."""
    saved = student_config.read(model).get("blend")
    return None if saved is None else Blend.model_validate(saved)


def _targeted(run: Run, labels: Folder, validation: Sequence[str], grades: Grades | None) -> dict[str, Label]:
    """The validation queries' labels that prefer one document to another, with the targets that the student learned from."""
    wanted = set(validation)
    found = (label for label in labels.read_rows(Label) if label.query_id in wanted)
    if grades is not None:
        grade = run.settings.training.relevant_grade
        found = (
            label.model_copy(update={"candidates": graded(label.candidates, grades[label.query_id], grade)})
            for label in found
            if label.query_id in grades
        )
    return {label.query_id: label for label in found if _orders(label)}


def _fitted(
    run: Run, student: StudentSettings, model: Folder, ordered: dict[str, Label], forms: Sequence[Form]
) -> Blend | None:
    from students.blend_fit import ValidationList, fit

    rows = [row for row in _candidates(run).read_rows(CandidateList) if row.query_id in ordered] if ordered else []
    lists = [_seen(row, ordered[row.query_id]) for row in rows]
    lists = [row for row in lists if len(row.candidates) > 1]
    if not lists:
        run.progress.stage("blend", f"{student.name} is served alone: there are no validation lists to fit a blend on")
        return None
    scores = score_lists(run, Model(model.uri), f"{student.name}, validation", lists)
    fitted = fit(
        [
            ValidationList(
                student=[scores[row.query_id][c.doc_id] for c in row.candidates],
                first_stage=[c.score for c in row.candidates],
                targets=_targets(row, ordered[row.query_id]),
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
    """The candidate lists of the labelled queries, with the first stage's scores."""
    other = plan.other_labels(run)
    return plan.candidates_stage(run).folder if other is None else other / "candidates"


def _orders(label: Label) -> bool:
    return len({c.target for c in label.candidates if c.tier != "unseen"}) > 1


def _seen(row: CandidateList, label: Label) -> CandidateList:
    """A candidate list without the documents that the teacher did not see."""
    seen = {c.doc_id for c in label.candidates if c.tier != "unseen"}
    return row.model_copy(update={"candidates": [c for c in row.candidates if c.doc_id in seen]})


def _targets(row: CandidateList, label: Label) -> list[float]:
    target = {c.doc_id: c.target for c in label.candidates}
    return [target[c.doc_id] for c in row.candidates]
