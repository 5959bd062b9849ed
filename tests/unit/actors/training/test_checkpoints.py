"""Checkpoints that cannot be written: one line, with what and why."""

import pytest

from actors.training import checkpoints
from actors.training.assignment import TrainingProgress


class FullDisk:
    """An engine whose disk has no room."""

    def save_checkpoint(self, folder, tag):
        raise OSError(28, "No space left on device\nand a second line")


class LostPeer:
    """An engine one of whose other workers was killed."""

    def save_checkpoint(self, folder, tag):
        raise RuntimeError("Connection closed by peer")


class OneWorker:
    def get_world_rank(self):
        return 0

    def get_world_size(self):
        return 1


def test_a_full_disk_is_said_in_a_line_and_reported_to_nobody(monkeypatch):
    reported = []
    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    monkeypatch.setattr(checkpoints.ray.train, "report", lambda *given, **named: reported.append(given))
    with pytest.raises(checkpoints.CheckpointWriteError) as error:
        checkpoints.save(FullDisk(), TrainingProgress(step=7))
    assert str(error.value) == (
        "the checkpoint of step 7 could not be written ([Errno 28] No space left on device); "
        "make room and call again, it goes on from the one before"
    )
    assert reported == []


def test_a_worker_lost_meanwhile_is_no_full_disk_and_may_be_tried_again(monkeypatch):
    monkeypatch.setattr(checkpoints.ray.train, "get_context", OneWorker)
    with pytest.raises(RuntimeError, match="Connection closed by peer") as error:
        checkpoints.save(LostPeer(), TrainingProgress(step=7))
    assert not isinstance(error.value, checkpoints.CheckpointWriteError)
