"""Export of a calibrated student to its model folder, and folders that stay unchanged."""

import pytest

from actors.training.calibrated_export import export_calibrated
from ranking.calibration.calibrated_scores import CalibrationError
from ranking.storage.folder import Folder
from students import calibrated_head, model_card
from students.export import ParityError
from tests.testing.calibration import calibration

CARD = "# s\n\nHigher is better; scores have no fixed\nrange.\n\n## License\n\nThe licenses\n"


@pytest.fixture
def model(tmp_path):
    folder = Folder(tmp_path / "model")
    folder.write_text(model_card.NAME, CARD)
    folder.write_text("weights", "raw")
    return folder


def test_folded_files_and_the_model_card_replace_the_folder(model, monkeypatch):
    monkeypatch.setattr(
        calibrated_head, "fold", lambda path, one: (path / "weights").write_text(f"{one.slope} {one.offset}")
    )
    assert export_calibrated(model, calibration(0.5, -1.0)) is None
    assert model.read_text("weights") == "0.5 -1.0"
    assert model.read_text(model_card.NAME) == model_card.with_calibration(CARD, calibration(0.5, -1.0))
    assert sorted(model.names()) == [model_card.NAME, "weights"]


@pytest.mark.parametrize("error", [CalibrationError, ParityError])
def test_head_that_cannot_be_calibrated_leaves_the_folder_unchanged(model, monkeypatch, error):
    def failing(path, one):
        (path / "weights").write_text("damaged")
        raise error("the reason")

    monkeypatch.setattr(calibrated_head, "fold", failing)
    assert export_calibrated(model, calibration()) == "the reason"
    assert (model.read_text("weights"), model.read_text(model_card.NAME)) == ("raw", CARD)
