"""Errors while writing checkpoints, and checkpoints that are damaged before they are loaded."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ray.train import Checkpoint
from safetensors.torch import save_file

from actors.training import checkpoints
from actors.training.assignment import TrainingProgress
from ranking.errors import CorruptFileError
from ranking.storage.folder import Folder
from tests.testing.small_disk import fill, small_disk


class FullDisk:
    """An engine whose disk is full."""

    def save_checkpoint(self, folder, tag):
        raise OSError(28, "No space left on device\nand a second line")


class LostPeer:
    """An engine that loses its connection to another worker."""

    def save_checkpoint(self, folder, tag):
        raise RuntimeError("Connection closed by peer")


class OneWorker:
    """The Ray Train context of a single worker."""

    def get_world_rank(self):
        return 0

    def get_local_rank(self):
        return 0

    def get_storage(self):
        return SimpleNamespace(experiment_fs_path="bucket/checkpoints")

    def get_world_size(self):
        return 1


def test_full_disk_raises_one_line_and_reports_no_checkpoint(monkeypatch):
    reported = []
    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    monkeypatch.setattr(checkpoints.ray.train, "report", lambda *args, **kwargs: reported.append(args))
    with pytest.raises(checkpoints.CheckpointWriteError) as error:
        checkpoints.save(FullDisk(), TrainingProgress(step=7))
    assert re.fullmatch(
        r"cannot write the checkpoint of step 7 to /\S+ \(\[Errno 28\] No space left on device\); "
        "free disk space and run the job again, it resumes from the previous checkpoint",
        str(error.value),
    )
    assert reported == []


def test_full_storage_is_named_in_the_error(monkeypatch):
    def report(*_, **__):
        raise OSError(28, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    monkeypatch.setattr(checkpoints.ray.train, "report", report)
    with pytest.raises(checkpoints.CheckpointWriteError, match=r"^cannot write the checkpoint of step 7 to bucket/ch"):
        checkpoints.save(OneFile(), TrainingProgress(step=7))


def test_lost_worker_raises_its_own_error_for_a_retry(monkeypatch):
    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    with pytest.raises(RuntimeError, match="Connection closed by peer") as error:
        checkpoints.save(LostPeer(), TrainingProgress(step=7))
    assert not isinstance(error.value, checkpoints.CheckpointWriteError)


class OneFile:
    """An engine whose checkpoint is one file."""

    loaded = False

    def save_checkpoint(self, folder, tag):
        Path(folder, tag).mkdir()
        Path(folder, tag, "model_states.pt").write_text("weights")

    def load_checkpoint(self, folder, tag):
        self.loaded = True


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Save a checkpoint, which `resume` then loads. Returns its folder."""
    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    monkeypatch.setattr(checkpoints.torch.distributed, "barrier", lambda: None)
    copy = Folder(tmp_path / "checkpoint")
    monkeypatch.setattr(checkpoints.ray.train, "report", lambda _, checkpoint: Folder(checkpoint.path).copy_to(copy))
    monkeypatch.setattr(checkpoints.ray.train, "get_checkpoint", lambda: Checkpoint.from_directory(copy.path))
    checkpoints.save(OneFile(), TrainingProgress(step=7, best=0.5, best_step=7))
    return Path(copy.path)


def test_saved_checkpoint_is_resumed(saved):
    engine = OneFile()
    assert checkpoints.resume(engine) == TrainingProgress(step=7, best=0.5, best_step=7)
    assert engine.loaded


@pytest.mark.parametrize("name", ["student/model_states.pt", "state.json", "workers.json", "checksums-0.json"])
def test_damaged_checkpoint_is_not_loaded(saved, name):
    path, engine = saved / name, OneFile()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFileError, match=f"^{path}: the file is damaged .*; run the job again, it continues"):
        checkpoints.resume(engine)
    assert not engine.loaded


def write_with_torch(path):
    torch.save({"weights": torch.rand(200, 200)}, path)


def write_with_safetensors(path):
    save_file({"weights": torch.rand(200, 200)}, path)


def write_with_storage(path):
    Folder(path.parent).write_text(path.name, "x" * 160_000)


@pytest.mark.parametrize("write", [write_with_torch, write_with_safetensors, write_with_storage])
def test_full_disk_is_recognised_for_each_library_that_writes(write, tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        ballast = fill(disk, free_pages=2)
        with (
            pytest.raises(checkpoints.CheckpointWriteError, match=r"^cannot write the model to s3://b .*free disk"),
            checkpoints._disk_full_errors("the model to s3://b"),
        ):
            write(disk / "weights")
        ballast.unlink()
        write(disk / "weights")
