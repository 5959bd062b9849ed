"""Repair of Ray Train's checkpoint list: rebuilt from the whole checkpoints, or removed if there are none."""

import json
import random
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState

from actors.compat.ray_train_snapshot import NAME, Repair, repair
from actors.training import checkpoint_checksums
from actors.training.assignment import TrainingProgress
from actors.training.checkpoints import metrics_of
from ranking.errors import CorruptFileError
from ranking.storage.folder import Folder

MODEL, OPTIMIZER = "mp_rank_00_model_states.pt", "zero_pp_rank_{}_mp_rank_00_optim_states.pt"
BEST, LATEST = TrainingProgress(step=2, best=0.7, best_step=2), TrainingProgress(step=4, best=0.7, best_step=2)
INCOMPLETE = "Ray's list of checkpoints was incomplete"
FLIPS = 40


@pytest.fixture
def checkpoints(tmp_path):
    return Folder(tmp_path)


def write_checkpoint(checkpoints, name, progress, workers=2):
    """Write a checkpoint as its workers do, each with its own files."""
    folder = Path(checkpoints.path, name)
    for rank in range(workers):
        own = Path(checkpoints.path, f"worker-{rank}")
        (own / "student").mkdir(parents=True)
        if rank == 0:
            (own / "state.json").write_text(json.dumps(asdict(progress)))
            (own / "workers.json").write_text(json.dumps(workers))
            (own / "student" / MODEL).write_text(f"weights of step {progress.step}")
        (own / "student" / OPTIMIZER.format(rank)).write_text(f"optimizer of step {progress.step}, worker {rank}")
        checkpoint_checksums.write(own, rank, workers)
        Folder(own).copy_to(Folder(folder))
        Folder(own).delete()
    return folder


def write_list(checkpoints, progress_by_name):
    """Write the list as Ray does, with the latest checkpoint first. Returns its text."""
    results = [
        {"version": 0, "checkpoint_dir_name": name, "metrics": metrics_of(progress)}
        for name, progress in progress_by_name.items()
    ]
    state = _CheckpointManagerState(
        checkpoint_results=results,
        checkpoint_report_indices=range(len(results)),
        latest_checkpoint_result=results[0] if results else None,
        pending_training_results=[],
        pending_validation_specs=[],
        current_report_index=len(results),
        validated_checkpoint_dir_names=[],
        timed_out_validation_checkpoint_dir_names=[],
        failed_validation_checkpoint_dir_names=[],
    )
    checkpoints.write_text(NAME, state.model_dump_json())
    return state.model_dump_json()


def write_run(checkpoints):
    """Write the best and the latest checkpoint, and their list. Returns their folders and the list's text."""
    best, latest = (
        write_checkpoint(checkpoints, "checkpoint_2", BEST),
        write_checkpoint(checkpoints, "checkpoint_4", LATEST),
    )
    return best, latest, write_list(checkpoints, {"checkpoint_4": LATEST, "checkpoint_2": BEST})


def listed(checkpoints):
    """Return the checkpoints in the list with their metrics, and the latest one."""
    state = _CheckpointManagerState.model_validate_json(checkpoints.read_text(NAME))
    results = [(result.checkpoint_dir_name, result.metrics) for result in state.checkpoint_results]
    return results, state.latest_checkpoint_result.checkpoint_dir_name


def damaged_contents(data):
    """Return an empty, truncated and changed versions of a file's content."""
    generator = random.Random(3)
    yield b""
    yield data[: len(data) // 2]
    yield data[:-1]
    for _ in range(FLIPS):
        changed = bytearray(data)
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        yield bytes(changed)


def test_leaves_a_whole_or_missing_list_unchanged(checkpoints):
    assert repair(checkpoints) is None
    _, _, text = write_run(checkpoints)
    assert repair(checkpoints) is None
    assert checkpoints.read_text(NAME) == text


def test_removes_a_list_without_checkpoints(checkpoints):
    text = write_list(checkpoints, {"checkpoint_4": LATEST})
    (checkpoints / "checkpoint_1").write_text("state.json", "{}")  # an interrupted upload
    for content in ("", text[:40], "[]", "{}", write_list(checkpoints, {})):
        checkpoints.write_text(NAME, content)
        assert repair(checkpoints) == Repair(INCOMPLETE, 0)
        assert not checkpoints.exists(NAME)
    checkpoints.write_text(NAME, text)
    assert repair(checkpoints) == Repair(f"{checkpoints.uri}/checkpoint_4/checksums-0.json: missing", 0)
    assert (checkpoints / "checkpoint_1").exists()


def test_rebuilds_a_damaged_list_from_whole_checkpoints(checkpoints):
    _, _, text = write_run(checkpoints)
    (write_checkpoint(checkpoints, "checkpoint_6", TrainingProgress(step=6)) / "checksums-1.json").unlink()
    (write_checkpoint(checkpoints, "checkpoint_8", TrainingProgress(step=8)) / "student" / MODEL).write_text("weights")
    repairs = 0
    for content in damaged_contents(text.encode()):
        Path(checkpoints.path, NAME).write_bytes(content)
        repaired = repair(checkpoints)
        repairs += repaired is not None
        if repaired is not None:
            assert repaired.step == 4
            assert repair(checkpoints) is None
        results, latest = listed(checkpoints)
        assert dict(results) == {"checkpoint_4": {"step": 4, "ndcg": -1.0}, "checkpoint_2": {"step": 2, "ndcg": 0.7}}
        assert latest == "checkpoint_4"
    assert repairs > FLIPS // 2
    state = json.loads(checkpoints.read_text(NAME))
    assert len(state["checkpoint_report_indices"]) == state["current_report_index"] == 2


def test_damage_to_any_file_of_a_checkpoint_selects_the_previous_one(checkpoints):
    _, latest, text = write_run(checkpoints)
    files = [path for path in sorted(latest.rglob("*")) if path.is_file()]
    assert len(files) == 7
    for path in files:
        data = path.read_bytes()
        for content in damaged_contents(data):
            path.write_bytes(content)
            repaired = repair(checkpoints)
            assert repaired.step == 2
            assert repaired.problem.startswith(f"{path}: ")
            assert "\n" not in repaired.problem
            assert listed(checkpoints) == ([("checkpoint_2", {"step": 2, "ndcg": 0.7})], "checkpoint_2")
            checkpoints.write_text(NAME, text)
        path.unlink()
        assert repair(checkpoints) == Repair(f"{path}: missing", 2)
        checkpoints.write_text(NAME, text)
        path.write_bytes(data)
    assert repair(checkpoints) is None


def test_damaged_only_checkpoint_is_an_error_with_its_path(checkpoints):
    only = write_checkpoint(checkpoints, "checkpoint_2", BEST)
    text = write_list(checkpoints, {"checkpoint_2": BEST})
    (only / "student" / MODEL).write_text("weights")
    message = (
        f"{only}/student/{MODEL}: the file is damaged (the checksum is wrong); there is no other checkpoint: restore "
        f"the file, or delete {checkpoints.uri} to train from scratch"
    )
    with pytest.raises(CorruptFileError, match=re.escape(message)):
        repair(checkpoints)
    assert checkpoints.read_text(NAME) == text
