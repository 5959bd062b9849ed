"""Repair the checkpoint list of a Ray Train run.

Problem: Ray Train overwrites `checkpoint_manager_snapshot.json` in place. A kill during that write leaves a truncated
file, and every later call with the same run name fails with `CheckpointManagerInitializationError`. The file can also
name a checkpoint that does not exist. `repair` rebuilds the file from the complete checkpoints in the same folder.

Version: written for ray==2.60.0.

Private API: name and schema of the file, which are those of `_CheckpointManagerState` in
`ray.train.v2._internal.execution.checkpoint.checkpoint_manager`, and the folder names `checkpoint_*`.

Remove when: Ray Train replaces the file atomically and ignores incomplete checkpoints when it restores a run.
https://github.com/ray-project/ray/issues/41700 tracks incomplete checkpoints.
"""

from __future__ import annotations

import json
import zipfile
from typing import Any

import ray

from actors.training.assignment import TrainingProgress
from actors.training.checkpoints import STATE, TAG, WORKERS, metrics_of
from ranking.storage.folder import Folder

NAME = "checkpoint_manager_snapshot.json"
"""Ray's checkpoint list, in the run's folder."""

_SHARD_PREFIXES = ("zero_pp_rank", "bf16_zero_pp_rank")
"""Prefixes of the files that ZeRO writes once per worker."""

_EMPTY_FIELDS = (
    "pending_training_results",
    "pending_validation_specs",
    "validated_checkpoint_dir_names",
    "timed_out_validation_checkpoint_dir_names",
    "failed_validation_checkpoint_dir_names",
)
"""Fields that Ray's schema requires, left empty. They serve background validation, which this project does not use."""


def repair(checkpoints: Folder) -> int | None:
    """Rebuild the checkpoint list if it is truncated or names a missing checkpoint.

    Args:
        checkpoints: Folder of the Ray Train run.

    Returns:
        The step of the latest complete checkpoint. 0 if no checkpoint is complete; then the list is removed, and
        training starts from scratch. None if the list is valid or does not exist.
    """
    if not checkpoints.exists(NAME) or _is_valid(checkpoints):
        return None
    complete = {
        name: progress
        for name in checkpoints.names()
        if name.startswith("checkpoint_") and (progress := _progress_of(checkpoints / name))
    }
    if not complete:
        checkpoints.remove(NAME)
        return 0
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


def _is_valid(checkpoints: Folder) -> bool:
    """Return whether the list can be parsed and all its checkpoints exist."""
    try:
        results = json.loads(checkpoints.read_text(NAME))["checkpoint_results"]
        names = [result["checkpoint_dir_name"] for result in results]
    except (ValueError, KeyError, TypeError):
        return False
    return all((checkpoints / name).exists() for name in names)


def _progress_of(checkpoint: Folder) -> TrainingProgress | None:
    """Read the progress stored in a checkpoint; None if a worker's file is missing or truncated."""
    try:
        progress = TrainingProgress.read(checkpoint.read_text(STATE))
        workers = json.loads(checkpoint.read_text(WORKERS))
    except (OSError, ValueError, TypeError):
        return None
    files = (checkpoint / TAG).names(".pt")
    models, optimizers = ([name for name in files if kind in name] for kind in ("model_states", "optim_states"))
    sharded = [names for names in (models, optimizers) if any(name.startswith(_SHARD_PREFIXES) for name in names)]
    complete = (
        models
        and all(len(names) == workers for names in sharded)
        and all(_is_archive(checkpoint / TAG, name) for name in files)
    )
    return progress if complete else None


def _is_archive(folder: Folder, name: str) -> bool:
    """Return whether a file of `torch.save` is complete. It is a zip archive, and those end with their directory."""
    try:
        with folder.open(name) as stream:
            return zipfile.is_zipfile(stream)
    except (OSError, ValueError):  # the file is too short for a zip archive
        return False
