"""What determines the weights of a student, apart from its labels: its settings, its base, and those of its training.

The result is part of the student's fingerprint. Settings that did not exist in earlier versions are left out while they
are unset, so that students of those versions keep their fingerprints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ranking.model_paths import PROJECT_MODELS, folder_hash, manifest_of_model
from ranking.runs.stages import Manifest
from students.student_settings import StudentSettings
from students.training_settings import DEFAULT_SCORE_SCALE, TrainingSettings

EXECUTION_SETTINGS = {"workers", "min_workers", "max_restarts", "max_tokens_per_microbatch", "activation_checkpointing"}
"""Training settings that change the student only by rounding errors. A training run can resume with other values."""


def student_identity(student: StudentSettings, training: TrainingSettings, trained: Manifest | None) -> dict[str, Any]:
    """Return everything that determines a student, apart from its inputs.

    Args:
        student: Settings of the student.
        training: Settings of the training.
        trained: Manifest of the student's folder; None if it was not trained before.
    """
    unset = {name for name in ("layers", "distillation") if getattr(student, name, None) is None}
    return {
        "student": student.model_dump(exclude=unset),
        "training": _training_identity(training, student.base),
        **_content_of_base(student, training, trained),
    }


def _training_identity(training: TrainingSettings, base: str) -> dict[str, Any]:
    # labels are identified by their content, not by their location
    identity = training.model_dump(exclude=EXECUTION_SETTINGS | {"labels"})
    if identity["clicks"] is None:
        del identity["clicks"]
    if identity["quantize"] == "none":
        del identity["quantize"]
    if base in PROJECT_MODELS:
        identity["score_scale"] = training.score_scale_for(base)
    elif identity["score_scale"] is None:
        identity["score_scale"] = DEFAULT_SCORE_SCALE  # `_content_of_base` has the scale of another base
    return identity


def _content_of_base(student: StudentSettings, training: TrainingSettings, trained: Manifest | None) -> dict[str, Any]:
    """Hash the folder of a base model, because its weights may change under the same path.

    If `training.score_scale` is not set, the score scale in the folder's manifest belongs to the content too. If the
    folder no longer exists, returns what the student was trained with.
    """
    keys = {"base"} if training.score_scale is not None else {"base", "base_score_scale"}
    if Path(student.base).is_dir():
        content: dict[str, Any] = {"base": folder_hash(Path(student.base))}
        manifest = manifest_of_model(student.base)
        if manifest is not None and manifest.score_scale is not None:
            content["base_score_scale"] = manifest.score_scale
    else:
        content = trained.settings if trained and trained.settings["student"]["base"] == student.base else {}
    return {key: content[key] for key in keys & set(content)}
