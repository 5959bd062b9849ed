"""Ray's list of checkpoints: kept where it is whole, else written anew of the whole checkpoints, removed where there is none."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState

from actors.compat.ray_train_snapshot import NAME, mend
from actors.training.assignment import TrainingProgress
from ranking.storage.folder import Folder

WHOLE = json.dumps({"ray_version": "2", "checkpoint_results": [{"checkpoint_dir_name": "checkpoint_1", "metrics": {}}]})


@pytest.fixture
def checkpoints(tmp_path):
    folder = Folder(tmp_path)
    (folder / "checkpoint_1").write_text("state.json", "{}")
    return folder


def test_a_whole_list_and_none_stay(checkpoints):
    assert mend(checkpoints) is None
    checkpoints.write_text(NAME, WHOLE)
    assert mend(checkpoints) is None
    assert checkpoints.read_text(NAME) == WHOLE


@pytest.mark.parametrize("text", ["", WHOLE[:40], "[]", "{}", WHOLE.replace("checkpoint_1", "checkpoint_2")])
def test_a_list_that_is_cut_off_or_names_what_is_not_there_is_removed(text, checkpoints):
    checkpoints.write_text(NAME, text)
    assert mend(checkpoints) == 0
    assert not checkpoints.exists(NAME)
    assert (checkpoints / "checkpoint_1").exists()


def checkpoint(checkpoints, name, progress, parts, workers=1):
    folder = checkpoints / name
    folder.write_text("state.json", json.dumps(asdict(progress)))
    folder.write_text("workers.json", json.dumps(workers))
    (folder / "student").write_text("latest", "student")
    for part in parts:
        torch.save({"module": {}}, f"{folder.path}/student/{part}.pt")


def test_a_list_that_is_cut_off_is_written_anew_of_the_checkpoints_that_are_whole(checkpoints):
    model, optimizer = "mp_rank_00_model_states", "zero_pp_rank_{}_mp_rank_00_optim_states"
    both = [model, optimizer.format(0), optimizer.format(1)]
    checkpoint(checkpoints, "checkpoint_2", TrainingProgress(step=2, best=0.7, best_step=2), both, workers=2)
    checkpoint(checkpoints, "checkpoint_3", TrainingProgress(step=4, best=0.7, best_step=2), both, workers=2)
    checkpoint(
        checkpoints, "checkpoint_4", TrainingProgress(step=6, best=0.9, best_step=6), both[:2], workers=2
    )  # one worker's part is missing
    checkpoint(checkpoints, "checkpoint_5", TrainingProgress(step=8, best=0.9, best_step=6), both, workers=2)
    place = checkpoints / "checkpoint_5" / "student"
    with place.open(f"{model}.pt") as stream:
        whole = stream.read()
    Path(place.path, f"{model}.pt").write_bytes(whole[:-40])
    checkpoint(checkpoints, "checkpoint_6", TrainingProgress(step=10, best=0.9, best_step=6), both, workers=2)
    (checkpoints / "checkpoint_6" / "student").write_text(f"{model}.pt", "PK")
    divided = ["zero_pp_rank_0_mp_rank_00_model_states", *both[1:]]  # ZeRO 3, the second worker's weights are missing
    checkpoint(checkpoints, "checkpoint_7", TrainingProgress(step=12, best=0.9, best_step=6), divided, workers=2)
    checkpoints.write_text(NAME, WHOLE[:40])
    assert mend(checkpoints) == 4
    assert mend(checkpoints) is None
    state = _CheckpointManagerState.model_validate_json(checkpoints.read_text(NAME))
    assert [(one.checkpoint_dir_name, one.metrics) for one in state.checkpoint_results] == [
        ("checkpoint_3", {"step": 4, "ndcg": -1.0}),
        ("checkpoint_2", {"step": 2, "ndcg": 0.7}),
    ]
    assert state.latest_checkpoint_result.checkpoint_dir_name == "checkpoint_3"
    assert (state.checkpoint_report_indices, state.current_report_index) == ([1, 0], 2)
