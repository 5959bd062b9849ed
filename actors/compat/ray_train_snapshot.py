"""Ray's list of a training's checkpoints.

It is written in place, so a kill at that moment leaves it cut off, and no later call could start.
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
_DIVIDED = ("zero_pp_rank", "bf16_zero_pp_rank")
_NONE = (
    "pending_training_results",
    "pending_validation_specs",
    "validated_checkpoint_dir_names",
    "timed_out_validation_checkpoint_dir_names",
    "failed_validation_checkpoint_dir_names",
)


def mend(checkpoints: Folder) -> int | None:
    """Write a list anew that is cut off, or names a checkpoint that is not there, of the whole checkpoints beside it.

    Returns the step of the last of them, 0 where there is none and training begins anew; None where the list is whole, or there is none.
    """
    if not checkpoints.exists(NAME) or _is_whole(checkpoints):
        return None
    found = {
        name: held
        for name in checkpoints.names()
        if name.startswith("checkpoint_") and (held := _progress_of(checkpoints / name))
    }
    if not found:
        checkpoints.remove(NAME)
        return 0
    # as Ray orders them: the best last
    results = [{"version": 0, "checkpoint_dir_name": name, "metrics": metrics_of(held)} for name, held in found.items()]
    results.sort(key=lambda one: (one["metrics"]["ndcg"], one["metrics"]["step"]))
    by_step = sorted(results, key=lambda one: one["metrics"]["step"])
    state: dict[str, Any] = {name: [] for name in _NONE}
    state |= {"ray_version": ray.__version__, "checkpoint_results": results, "latest_checkpoint_result": by_step[-1]}
    state |= {
        "checkpoint_report_indices": [by_step.index(one) for one in results],
        "current_report_index": len(results),
    }
    checkpoints.write_text(NAME, json.dumps(state))
    return int(by_step[-1]["metrics"]["step"])


def _is_whole(checkpoints: Folder) -> bool:
    try:
        names = [one["checkpoint_dir_name"] for one in json.loads(checkpoints.read_text(NAME))["checkpoint_results"]]
    except (ValueError, KeyError, TypeError):
        return False
    return all((checkpoints / name).exists() for name in names)


def _progress_of(checkpoint: Folder) -> TrainingProgress | None:
    """Where training was at a checkpoint; None where the checkpoint is not whole: not every worker's part is there to its last byte."""
    try:
        progress, workers = (
            TrainingProgress.read(checkpoint.read_text(STATE)),
            json.loads(checkpoint.read_text(WORKERS)),
        )
    except (OSError, ValueError, TypeError):
        return None
    parts = (checkpoint / TAG).names(".pt")
    models, optimizer = ([name for name in parts if kind in name] for kind in ("model_states", "optim_states"))
    divided = [
        held for held in (models, optimizer) if any(name.startswith(_DIVIDED) for name in held)
    ]  # by ZeRO, over the workers
    whole = (
        models
        and all(len(held) == workers for held in divided)
        and all(_is_archive(checkpoint / TAG, name) for name in parts)
    )
    return progress if whole else None


def _is_archive(folder: Folder, name: str) -> bool:
    """Whether torch wrote this file to its end."""
    try:
        with folder.open(name) as stream:
            return zipfile.is_zipfile(stream)
    except (OSError, ValueError):  # of a file that is too short
        return False
