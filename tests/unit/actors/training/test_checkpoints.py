"""Errors while writing checkpoints, and checkpoints that are damaged before they are loaded."""

from pathlib import Path

import pytest
from ray.train import Checkpoint

from actors.training import checkpoints
from actors.training.assignment import TrainingProgress
from ranking.errors import CorruptFileError
from ranking.storage.folder import Folder


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

    def get_world_size(self):
        return 1


def test_full_disk_raises_one_line_and_reports_no_checkpoint(monkeypatch):
    reported = []
    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    monkeypatch.setattr(checkpoints.ray.train, "report", lambda *args, **kwargs: reported.append(args))
    with pytest.raises(checkpoints.CheckpointWriteError) as error:
        checkpoints.save(FullDisk(), TrainingProgress(step=7))
    assert str(error.value) == (
        "cannot write the checkpoint of step 7 ([Errno 28] No space left on device); "
        "free disk space and run the job again, it resumes from the previous checkpoint"
    )
    assert reported == []


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
