"""Check that the judge is not the teacher: a model prefers its own rankings and those of students that copy it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ranking.errors import InputError
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.model_paths import EMBEDDED, PROJECT_MODELS, model_path
from ray_jobs.common.run import Run
from ray_jobs.common.training_inputs import finished_manifest


def check_independent(run: Run) -> bool:
    """Check that the judge is not a teacher whose rankings or students are evaluated.

    Returns:
        Whether the judge is a teacher, which `evaluation.judge.force` allows.

    Raises:
        InputError: The judge is a teacher, and `evaluation.judge.force` is not set.
    """
    judge = run.settings.evaluation.judge
    assert judge is not None
    same = any(is_same(run.plan.judge_identity, teacher) for teacher in _teachers(run))
    if same and not judge.force:
        name, field = (judge.model, "model") if isinstance(judge, LlmJudgeSettings) else (judge.path, "path")
        raise InputError(
            f"setting 'evaluation.judge.{field}': {name!r} is also the teacher, which would grade its own rankings; "
            "choose another judge, or set evaluation.judge.force: true to mark its column in every table"
        )
    return same


def unknown_teacher_note(run: Run) -> list[str]:
    """Return a note if a recorded teacher's model is unknown, so it cannot be compared with the judge's."""
    if any(teacher.get("kind") == "recorded" for teacher in _teachers(run)):
        return ["judge: the model behind the recorded teacher is unknown; make sure that it is not the judge's model"]
    return []


def is_same(judge: Mapping[str, Any], teacher: Mapping[str, Any]) -> bool:
    """Compare a judge with a teacher.

    They are the same if both have the same model and no two different revisions, or the same recorded file. If one of
    them is a hosted model, names are compared without the organization or folder in front and in lower case, because
    the same model has other names at other hosts: `Qwen/Qwen3-32B`, `/models/Qwen3-32B` and `qwen3-32b` are the same.

    Args:
        judge: Identity of the judge, see `judge_identity`.
        teacher: Identity of the teacher, see `teacher_identity`.
    """
    if judge["kind"] == "recorded" and teacher.get("kind") == "recorded":
        return bool(judge["content"] == teacher.get("content"))
    judge_model, teacher_model = judge.get("model"), teacher.get("model")
    if judge_model is None or teacher_model is None:
        return False
    name_of = _base_name if "hosted" in judge or "hosted" in teacher else _location
    if name_of(judge_model) != name_of(teacher_model):
        return False
    revisions = {judge.get("revision"), teacher.get("revision")} - {None}
    return len(revisions) < 2


def _teachers(run: Run) -> list[Mapping[str, Any]]:
    """List the identities of the teachers that the evaluation measures or whose labels its students learned from."""
    settings, teachers = run.settings, list[Mapping[str, Any]]()
    places = settings.training.labels if settings.students else []
    if settings.evaluation.teacher or (settings.students and not places):
        teachers.append(run.plan.teacher_identity)
    for place in places:
        teachers.append(finished_manifest(place, "labels").settings.get("teacher") or {})
    return teachers


def _base_name(model: str) -> str:
    """Return the name of a model without organization or folder, in lower case."""
    return model.rstrip("/").rpartition("/")[2].lower()


def _location(model: str) -> str:
    """Return the folder of a model, or its Hugging Face id or other name in lower case."""
    if model == EMBEDDED or model in PROJECT_MODELS:
        return str(Path(model_path(model)).resolve())
    return str(Path(model).resolve()) if Path(model).is_dir() else model.lower()
