"""Progress and curves of a training run that resumes."""

from ranking.storage.folder import Folder
from ray_jobs.training.monitoring import CURVES, TrainingSummary, write_curves


def line(step, **more):
    return {"step": step, "loss": 0.5, "pairs": 10, "tokens": 100, "seconds": 1.0, **more}


def test_resumed_training_advances_from_its_first_step():
    summary = TrainingSummary()
    assert summary.add(line(28)) == 28
    assert summary.add(line(29)) == 1
    assert summary.add({"step": 29, "validation": 0.7}) == 0
    assert summary.add(line(20)) == 0  # the workers restarted from a checkpoint
    assert summary.add(line(30)) == 1


def test_curves_of_two_calls_are_joined(tmp_path):
    folder = Folder(tmp_path)
    write_curves(folder, [line(1), line(2), {"step": 2, "validation": 0.6}])
    write_curves(folder, [line(2, loss=0.4), line(3)])
    curves = folder.read_json(CURVES)
    assert curves["loss"] == [[1, 0.5], [2, 0.4], [3, 0.5]]
    assert curves["validation nDCG@10"] == [[2, 0.6]]
