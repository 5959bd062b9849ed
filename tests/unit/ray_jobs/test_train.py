"""What training tells: the bar of a training that goes on counts from there, and its curves keep what was before."""

import json

from ranking.storage.folder import Folder
from ray_jobs.train import CURVES, _Told, write_curves


def line(step, **more):
    return {"step": step, "loss": 0.5, "pairs": 10, "tokens": 100, "seconds": 1.0, **more}


def test_a_training_that_goes_on_is_as_far_as_it_is():
    told = _Told()
    assert told.hear(line(28)) == 28
    assert told.hear(line(29)) == 1
    assert told.hear({"step": 29, "validation": 0.7}) == 0
    assert told.hear(line(20)) == 0  # workers went back to a checkpoint
    assert told.hear(line(30)) == 1


def test_curves_of_two_calls_are_one(tmp_path):
    folder = Folder(tmp_path)
    write_curves(folder, [line(1), line(2), {"step": 2, "validation": 0.6}])
    write_curves(folder, [line(2, loss=0.4), line(3)])
    curves = json.loads(folder.read_text(CURVES))
    assert curves["loss"] == [[1, 0.5], [2, 0.4], [3, 0.5]]
    assert curves["validation nDCG@10"] == [[2, 0.6]]
