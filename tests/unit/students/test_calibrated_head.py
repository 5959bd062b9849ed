"""A calibration folded into the head: the same scores in every library, the order, and heads without a bias."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from ranking.calibration.calibrated_scores import CalibrationError, QueryScores, fit_calibration
from ranking.calibration.platt_scaling import sigmoid
from ranking.storage.folder import Folder
from students import calibrated_head, export, kinds, parity, student_config
from students.export import ParityError
from students.scoring import Scorer
from students.student_settings import RraGptSettings
from tests.testing.calibration import calibration
from tools.tiny_models import tiny_generator
from tools.untrained_student import untrained_student

PAIRS = [("why does dough get bigger", text) for text in ("Yeast turns sugar into gas.", "Cats sleep.", "A compass.")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return untrained_student(tmp_path_factory.mktemp("saved") / "model", seed=1).path


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -1.3), (12.0, 5.0)])
def test_every_engine_and_library_gives_the_calibrated_scores(saved, copy, slope, offset):
    from sentence_transformers import CrossEncoder

    raw = np.array(Scorer(saved, "fp32", "torch").score(PAIRS))
    calibrated_head.fold(copy, calibration(slope, offset))
    expected, tolerance = slope * raw + offset, 1e-4 * max(1, slope)
    for engine in parity.ENGINES:
        assert Scorer(copy, "fp32", engine).score(PAIRS) == pytest.approx(expected, abs=tolerance), engine
    # CrossEncoder and vLLM apply a sigmoid by default
    assert CrossEncoder(str(copy), device="cpu").predict(PAIRS) == pytest.approx(sigmoid(expected), abs=tolerance)
    assert parity.difference(copy) <= 1e-5
    assert np.argsort(Scorer(copy).score(PAIRS)).tolist() == np.argsort(Scorer(saved).score(PAIRS)).tolist()


def test_config_gets_the_calibration_and_keeps_its_other_keys(saved, copy):
    before = json.loads((copy / student_config.NAME).read_text())
    calibrated_head.fold(copy, calibration(0.5, 1.0))
    after = json.loads((copy / student_config.NAME).read_text())
    assert after.pop("calibration") == calibration(0.5, 1.0).model_dump()
    changed = {key for key in before if before[key] != after[key]}
    assert (set(before), changed) == (set(after), {"probes"})
    assert Scorer(copy).is_calibrated
    assert not Scorer(saved).is_calibrated
    weights, raw = load_file(copy / "model.safetensors"), load_file(f"{saved}/model.safetensors")
    assert {name for name in raw if not weights[name].equal(raw[name])} == {"classifier.weight", "classifier.bias"}


def test_decoder_head_without_a_bias_is_left_unchanged(tmp_path):
    base = str(tiny_generator(tmp_path / "base"))
    settings = RraGptSettings(base=base, max_length=64)
    folder = tmp_path / "model"
    export.save(kinds.build(settings, base), kinds.tokenizer_of(settings, base), settings, folder, PAIRS)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CalibrationError, match=r"the head of .* has no bias, so it cannot contain the offset"):
        calibrated_head.fold(folder, calibration(0.5, 1.0))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_wrong_scores_after_folding_are_an_error(copy, monkeypatch):
    def only_weight(layer, slope, offset):
        layer.weight.mul_(slope)

    monkeypatch.setattr(calibrated_head, "rescale", only_weight)
    with pytest.raises(ParityError, match=r"calibrated scores in torch differ by 3\.00e\+00 from the expected ones"):
        calibrated_head.fold(copy, calibration(1.0, 3.0))
    assert not student_config.read(Folder(copy)).get("calibration")


@given(st.floats(0.01, 50), st.floats(-10, 10), st.integers(0, 1000))
def test_rescaled_layer_keeps_the_order_of_distinct_scores(slope, offset, seed):
    torch.manual_seed(seed)
    layer, states = nn.Linear(16, 1), torch.randn(30, 16)
    with torch.no_grad():
        raw = layer(states)[:, 0]
        calibrated_head.rescale(layer, slope, offset)
        calibrated = layer(states)[:, 0]
    assert calibrated == pytest.approx((slope * raw + offset).numpy(), abs=1e-4)
    order = raw.argsort()
    distinct = raw[order].diff() > 1e-3
    assert (calibrated[order].diff()[distinct] > 0).all()


def test_output_layer_is_found_behind_a_hidden_layer():
    """Such as in XLM-RoBERTa's head: dense, activation, out_proj."""
    from transformers import XLMRobertaConfig

    config = XLMRobertaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=1
    )
    model = AutoModelForSequenceClassification.from_config(config)
    assert calibrated_head.output_layer(model) is model.classifier.out_proj


def test_fitted_probabilities_match_the_folded_scores(saved, copy):
    """The whole path: raw scores, fit, folded head, and a sigmoid."""
    raw = Scorer(saved, "fp32", "torch")
    scores = {query: raw.score([(query, f"{text} {n}") for n in range(8) for _, text in PAIRS]) for query in "ab"}
    median = float(np.median([score for values in scores.values() for score in values]))
    fitted = fit_calibration(
        [QueryScores(query, values, [score > median for score in values]) for query, values in scores.items()],
        "teacher",
    )
    calibrated_head.fold(copy, fitted)
    probabilities = sigmoid(fitted.slope * np.array(raw.score(PAIRS)) + fitted.offset)
    assert sigmoid(np.array(Scorer(copy, "fp32").score(PAIRS))) == pytest.approx(probabilities, abs=1e-3)
