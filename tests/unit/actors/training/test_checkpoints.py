"""Errors while writing checkpoints."""

import pytest

from actors.training import checkpoints
from actors.training.assignment import TrainingProgress


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
