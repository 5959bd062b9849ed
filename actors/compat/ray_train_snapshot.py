"""Repair the checkpoint list of a Ray Train run.

Problem: Ray Train overwrites `checkpoint_manager_snapshot.json` in place. A kill during that write leaves a truncated
file, and every later call with the same run name fails with `CheckpointManagerInitializationError`. The file can also
name a checkpoint that does not exist or is damaged. `repair` rebuilds the file from the whole checkpoints in the same
folder.

Version: checked with ray==2.60.0.

Private API: `_CheckpointManagerState` in `ray.train.v2._internal.execution.checkpoint.checkpoint_manager`, which is the
schema of the file, its name, and the folder names `checkpoint_*`.

Remove when: Ray Train replaces the file atomically and ignores incomplete checkpoints when it restores a run.
https://github.com/ray-project/ray/issues/41700 tracks incomplete checkpoints.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import ray
from pydantic import ValidationError

from actors.training import checkpoint_checksums
from actors.training.assignment import TrainingProgress
from actors.training.checkpoints import STATE, metrics_of
from ranking.errors import CorruptFileError
from ranking.storage.folder import Folder

NAME = "checkpoint_manager_snapshot.json"
"""Ray's checkpoint list, in the run's folder."""

_EMPTY_FIELDS = (
    "pending_training_results",
    "pending_validation_specs",
    "validated_checkpoint_dir_names",
    "timed_out_validation_checkpoint_dir_names",
    "failed_validation_checkpoint_dir_names",
)
"""Fields that Ray's schema requires, left empty. They serve background validation, which this project does not use."""


@dataclass(frozen=True)
class Repair:
    """A repair of the checkpoint list.

    Attributes:
        problem: What was wrong, in one line.
        step: Step of the latest whole checkpoint. 0 if training starts from scratch.
    """

    problem: str
    step: int


def repair(checkpoints: Folder) -> Repair | None:
    """Rebuild the checkpoint list if it is damaged, or names a checkpoint that is missing or damaged.

    Args:
        checkpoints: Folder of the Ray Train run.

    Returns:
        The repair; None if list and checkpoints are whole, or if there is no list. If no checkpoint exists, the list is
        removed, and training starts from scratch.

    Raises:
        CorruptFileError: The list names a damaged checkpoint, and there is no other.
    """
    if not checkpoints.exists(NAME):
        return None
    names = _listed_names(checkpoints)
    damage = [error for name in names or [] if (error := _damage_of(checkpoints, name))]
    if names and not damage and _is_consistent(checkpoints):
        return None
    complete = {
        name: _progress_of(checkpoints / name)
        for name in checkpoints.names()
        if name.startswith("checkpoint_") and not _damage_of(checkpoints, name)
    }
    problem = f"{damage[0].path}: {damage[0].problem}" if damage else "Ray's list of checkpoints was incomplete"
    if complete:
        return Repair(problem, _rebuild(checkpoints, complete))
    if any((checkpoints / name).exists() for name in names or []):
        raise damage[0]
    checkpoints.remove(NAME)
    return Repair(problem, 0)


def _rebuild(checkpoints: Folder, complete: dict[str, TrainingProgress]) -> int:
    """Write the list for these checkpoints. Returns the step of the latest."""
    results: list[dict[str, Any]] = [
        {"version": 0, "checkpoint_dir_name": name, "metrics": metrics_of(progress)}
        for name, progress in complete.items()
    ]
    # Ray's order: the best checkpoint is last.
    results.sort(key=lambda result: (result["metrics"]["ndcg"], result["metrics"]["step"]))
    by_step = sorted(results, key=lambda result: result["metrics"]["step"])
    state: dict[str, Any] = {name: [] for name in _EMPTY_FIELDS}
    state |= {"ray_version": ray.__version__, "checkpoint_results": results, "latest_checkpoint_result": by_step[-1]}
    state |= {
        "checkpoint_report_indices": [by_step.index(result) for result in results],
        "current_report_index": len(results),
    }
    checkpoints.write_text(NAME, json.dumps(state))
    return int(by_step[-1]["metrics"]["step"])


def _listed_names(checkpoints: Folder) -> list[str] | None:
    """Return the names of the checkpoints in the list; None if Ray could not read the list."""
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState

    try:
        state = _CheckpointManagerState.model_validate_json(checkpoints.read_text(NAME))
    except (CorruptFileError, ValidationError):
        return None
    return [result.checkpoint_dir_name for result in state.checkpoint_results]


def _is_consistent(checkpoints: Folder) -> bool:
    """Return whether the list has the steps and metrics of its checkpoints, and names the latest one."""
    state = json.loads(checkpoints.read_text(NAME))
    results = state["checkpoint_results"]
    metrics = [metrics_of(_progress_of(checkpoints / result["checkpoint_dir_name"])) for result in results]
    if [result["metrics"] for result in results] != metrics:
        return False
    latest = max(results, key=lambda result: int(result["metrics"]["step"]))
    return len(state["checkpoint_report_indices"]) == len(results) and state.get("latest_checkpoint_result") == latest


def _damage_of(checkpoints: Folder, name: str) -> CorruptFileError | None:
    """Check a checkpoint. Returns the error if it is missing or damaged, else None."""
    again = f"there is no other checkpoint: restore the file, or delete {checkpoints.uri} to train from scratch"
    try:
        checkpoint_checksums.check(checkpoints / name, again)
    except CorruptFileError as error:
        return error
    return None


def _progress_of(checkpoint: Folder) -> TrainingProgress:
    """Read the progress stored in a whole checkpoint."""
    return TrainingProgress.read(checkpoint.read_text(STATE))
