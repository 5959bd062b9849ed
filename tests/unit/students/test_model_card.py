"""The model card of a student."""

import pytest

from ranking.records import Provenance
from students.model_card import model_card, with_calibration, with_quantization
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tests.testing.calibration import calibration
from tests.testing.quantization_results import quantization

PROVENANCE = Provenance(teacher="t", fingerprint="f", engine="vllm", targets="scores")


@pytest.mark.parametrize(("setting", "scale"), [(None, 8.0), (3.0, 3.0)])
def test_card_has_the_score_scale_that_training_used(setting, scale):
    card = model_card(RraBertSettings(), TrainingSettings(score_scale=setting), PROVENANCE, {}, onnx=False)
    assert f'"score_scale":{scale}' in card


def test_card_says_which_layers_were_kept_and_what_was_distilled():
    small = RraBertSettings(layers=3, distillation={"student": "large", "weight": 0.25})
    card = model_card(small, TrainingSettings(), PROVENANCE, {}, onnx=False)
    assert "| layers kept from the base | 3 |" in card
    assert '| distilled from the student | `{"student":"large","loss":"listwise_kl","weight":0.25}` |' in card
    assert "layers kept" not in model_card(RraBertSettings(), TrainingSettings(), PROVENANCE, {}, onnx=False)


def test_calibration_adds_a_section_with_measures_and_thresholds():
    card = model_card(RraBertSettings(), TrainingSettings(), PROVENANCE, {}, onnx=True)
    assert "scores have no fixed\nrange" in card
    calibrated = with_calibration(card, calibration(0.5, -1.0, source="judgements", relevant_grade=2))
    assert "scores have no fixed" not in calibrated
    assert "The sigmoid\nof a score is a probability of relevance." in calibrated
    section = calibrated[calibrated.index("## Calibrated scores") : calibrated.index("## License")]
    for text in (
        "human judgements of grade 2 or more",
        "1,200 documents of 12 validation queries",
        "multiplied by 0.5,\nand -1 was added",
        "| expected calibration error, bins of equal mass | 0.234 | 0.012 |",
        "| Brier score | 0.345 | 0.101 |",
        "| 0.5 | 0.750 | 0.625 | 0.083 |",
        "| 0.9 |  | 0.000 | 0.000 |",
    ):
        assert text in section
    assert calibrated.endswith(card[card.index("## License") :])


@pytest.mark.parametrize(("accepted", "outcome"), [(True, "was accepted"), (False, "was rejected")])
def test_quantization_adds_a_section_with_the_measured_values(accepted, outcome):
    card = model_card(RraBertSettings(), TrainingSettings(), PROVENANCE, {}, onnx=True)
    quantized = with_quantization(card, quantization(accepted=accepted))
    section = quantized[quantized.index("## Quantization") : quantized.index("## License")]
    for text in (outcome, "40 of 42 matrix products", "256 validation pairs", "lower bound of the difference -0.0012"):
        assert text in section
    assert quantized.replace(f"{section}", "") == card
