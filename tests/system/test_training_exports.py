"""Which model training exports, and with what calibration."""

import json
from pathlib import Path

import pytest

from ranking.model_paths import model_path
from ranking.storage.checksums import check_files
from ranking.storage.folder import Folder
from ray_jobs.training.calibration_fitting import calibration_of
from students import parity
from students.scoring import ClassifierScorer, Scorer
from tests.testing.facts import FACTS, QUESTIONS
from tests.testing.training_runs import (
    BERT,
    copy_labels,
    train,
    weights_of,
)
from tools.tiny_models import tiny_generator

pytestmark = pytest.mark.timeout(600)


def test_early_stopping_exports_the_first_best_model_in_float32(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    # the step is too small to change a bf16 weight, but it changes the optimizer's float32 weights
    output = train(
        folder, collection, cluster, BERT, precision="bf16", zero_stage=0, learning_rate=1e-7, patience=1, epochs=4
    )
    assert "model of step 2 in" in output
    curves = json.loads((folder / "students" / "bert").read_text("curves.json"))
    assert [step for step, _ in curves["validation nDCG@10"]] == [2, 4]
    assert len(curves["loss"]) == 4
    layer_weights = {
        name: value for name, value in weights_of(folder).items() if ".layer." in name and name.endswith("weight")
    }
    assert len(layer_weights) > 20
    assert all((value != value.bfloat16().float()).any() for value in layer_weights.values())


def test_base_is_exported_if_training_does_not_improve_it(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    student = {"name": "bert", "kind": "rra_bert", "base": "minilm-cross", "max_length": 32}
    # the step is too small to change any weight
    output = train(
        folder, collection, cluster, student, precision="fp32", learning_rate=1e-30, weight_decay=0.0, epochs=1
    )
    assert "; training did not improve the base, which is exported, model of step 0 in" in output
    curves = json.loads((folder / "students" / "bert").read_text("curves.json"))
    assert [step for step, _ in curves["validation nDCG@10"]] == [0, 2, 4]
    assert "| optimizer steps | 0 |" in Folder(f"{folder.uri}/students/bert/model").read_text("README.md")
    pairs = [(query, FACTS[0][1]) for _, query, _ in QUESTIONS]
    base = ClassifierScorer(model_path("minilm-cross"), 32, "fp32").score(pairs)
    assert Scorer(f"{folder.path}/students/bert/model", "fp32", "torch").score(pairs) == pytest.approx(base, abs=1e-4)


def test_calibrated_student_has_scaled_scores_and_a_decoder_raw_ones(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    bert = {"name": "bert", "kind": "rra_bert", "base": "minilm-cross", "max_length": 32}
    gpt = {"name": "gpt", "kind": "rra_gpt", "base": str(tiny_generator(tmp_path / "base")), "max_length": 160}
    # the step is too small to change any weight
    unchanged = {"precision": "fp32", "learning_rate": 1e-30, "weight_decay": 0.0, "epochs": 1}
    output = " ".join(train(folder, collection, cluster, [bert, gpt], calibrate="teacher", **unchanged).split())
    assert "bert: fitted on 20 validation documents, relevant by the teacher's labels; expected calibration" in output
    assert "gpt keeps its raw scores: the ranking layer of a decoder has no bias" in output
    model = folder / "students" / "bert" / "model"
    calibration = calibration_of(model)
    assert (calibration.queries, calibration.pairs, calibration.relevant) == (5, 20, 10)
    pairs = [(query, FACTS[0][1]) for _, query, _ in QUESTIONS]
    base = ClassifierScorer(model_path("minilm-cross"), 32, "fp32").score(pairs)
    expected = [calibration.slope * score + calibration.offset for score in base]
    for engine in ("torch", "onnx"):
        assert Scorer(model.path, "fp32", engine).score(pairs) == pytest.approx(expected, abs=1e-3)
    assert parity.difference(Path(model.path)) < parity.TOLERANCE
    card = model.read_text("README.md")
    assert f"multiplied by {calibration.slope:.4g}," in card
    assert card.count("\n| 0.") == len(calibration.thresholds)
    check_files(model, "")
    assert calibration_of(folder / "students" / "gpt" / "model") is None
