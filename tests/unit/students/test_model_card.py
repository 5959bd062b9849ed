"""The model card of a student."""

import pytest

from ranking.records import Provenance
from students.model_card import model_card
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings

PROVENANCE = Provenance(teacher="t", fingerprint="f", engine="vllm", targets="scores")


@pytest.mark.parametrize(("setting", "scale"), [(None, 8.0), (3.0, 3.0)])
def test_card_has_the_score_scale_that_training_used(setting, scale):
    card = model_card(RraBertSettings(), TrainingSettings(score_scale=setting), PROVENANCE, {}, onnx=False)
    assert f'"score_scale":{scale}' in card
