"""Calibrations in the results of an evaluation."""

from types import SimpleNamespace

from ranking.storage.folder import Folder
from ray_jobs.evaluation import calibrations
from students import student_config
from tests.testing.calibration import calibration


def test_results_get_calibrations_and_notes_of_refusals(tmp_path, monkeypatch):
    folders = {name: Folder(tmp_path / name) for name in ("calibrated", "refused", "raw")}
    for folder in folders.values():
        folder.write_text(student_config.NAME, "{}")
    student_config.write_calibration(folders["calibrated"], calibration())
    student_config.write_calibration_note(folders["refused"], "there is only one validation query")
    monkeypatch.setattr(calibrations, "trained_model", lambda run, name: folders[name])
    run = SimpleNamespace(settings=SimpleNamespace(students=[SimpleNamespace(name=name) for name in folders]))
    metrics = SimpleNamespace(calibrations={}, notes=["a note"])
    calibrations.add_calibrations(run, metrics)
    assert metrics.calibrations == {"calibrated": calibration()}
    assert metrics.notes == [
        "a note",
        "refused: the scores are not calibrated: there is only one validation query",
    ]
