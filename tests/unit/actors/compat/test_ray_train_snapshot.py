"""Repair of Ray Train's checkpoint list: rebuilt from the complete checkpoints, or removed if there are none."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState

from actors.compat.ray_train_snapshot import NAME, repair
from actors.training.assignment import TrainingProgress
from ranking.storage.folder import Folder

VALID = json.dumps({"ray_version": "2", "checkpoint_results": [{"checkpoint_dir_name": "checkpoint_1", "metrics": {}}]})


@pytest.fixture
def checkpoints(tmp_path):
    folder = Folder(tmp_path)
    (folder / "checkpoint_1").write_text("state.json", "{}")
    return folder


def test_leaves_a_valid_or_missing_list_unchanged(checkpoints):
    assert repair(checkpoints) is None
    checkpoints.write_text(NAME, VALID)
    assert repair(checkpoints) is None
    assert checkpoints.read_text(NAME) == VALID


@pytest.mark.parametrize("text", ["", VALID[:40], "[]", "{}", VALID.replace("checkpoint_1", "checkpoint_2")])
def test_removes_an_invalid_list_without_complete_checkpoints(text, checkpoints):
    checkpoints.write_text(NAME, text)
    assert repair(checkpoints) == 0
    assert not checkpoints.exists(NAME)
    assert (checkpoints / "checkpoint_1").exists()


def write_checkpoint(checkpoints, name, progress, files, workers=1):
    """Write a checkpoint with empty DeepSpeed files."""
    folder = checkpoints / name
    folder.write_text("state.json", json.dumps(asdict(progress)))
    folder.write_text("workers.json", json.dumps(workers))
    (folder / "student").write_text("latest", "student")
    for file in files:
        torch.save({"module": {}}, f"{folder.path}/student/{file}.pt")


def test_rebuilds_a_truncated_list_from_complete_checkpoints(checkpoints):
    model, optimizer = "mp_rank_00_model_states", "zero_pp_rank_{}_mp_rank_00_optim_states"
    both = [model, optimizer.format(0), optimizer.format(1)]
    write_checkpoint(checkpoints, "checkpoint_2", TrainingProgress(step=2, best=0.7, best_step=2), both, workers=2)
    write_checkpoint(checkpoints, "checkpoint_3", TrainingProgress(step=4, best=0.7, best_step=2), both, workers=2)
    write_checkpoint(
        checkpoints, "checkpoint_4", TrainingProgress(step=6, best=0.9, best_step=6), both[:2], workers=2
    )  # the file of one worker is missing
    write_checkpoint(checkpoints, "checkpoint_5", TrainingProgress(step=8, best=0.9, best_step=6), both, workers=2)
    truncated = checkpoints / "checkpoint_5" / "student"
    with truncated.open(f"{model}.pt") as stream:
        content = stream.read()
    Path(truncated.path, f"{model}.pt").write_bytes(content[:-40])
    write_checkpoint(checkpoints, "checkpoint_6", TrainingProgress(step=10, best=0.9, best_step=6), both, workers=2)
    (checkpoints / "checkpoint_6" / "student").write_text(f"{model}.pt", "PK")
    # ZeRO stage 3: the weights of the second worker are missing.
    sharded = ["zero_pp_rank_0_mp_rank_00_model_states", *both[1:]]
    write_checkpoint(checkpoints, "checkpoint_7", TrainingProgress(step=12, best=0.9, best_step=6), sharded, workers=2)
    checkpoints.write_text(NAME, VALID[:40])
    assert repair(checkpoints) == 4
    assert repair(checkpoints) is None
    state = _CheckpointManagerState.model_validate_json(checkpoints.read_text(NAME))
    assert [(result.checkpoint_dir_name, result.metrics) for result in state.checkpoint_results] == [
        ("checkpoint_3", {"step": 4, "ndcg": -1.0}),
        ("checkpoint_2", {"step": 2, "ndcg": 0.7}),
    ]
    assert state.latest_checkpoint_result.checkpoint_dir_name == "checkpoint_3"
    assert (state.checkpoint_report_indices, state.current_report_index) == ([1, 0], 2)
