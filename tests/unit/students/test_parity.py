"""Parity check of saved students, other cross-encoders, and the scoring engines."""

import json
import shutil
import subprocess
import sys
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from actors.scoring.latency import LatencyProbe
from actors.scoring.scorers import Model
from actors.serving.serving_settings import ServingSettings
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.records import Candidate, CandidateList
from students import export, kinds, parity
from students.onnx_file import OnnxStudent, OpenVinoStudent
from students.scoring import CONFIG_FILE, ClassifierScorer, Scorer
from students.student_settings import RraBertSettings

PAIRS = [("how do I sort", "sorted(iterable) returns a new list"), ("how do I sort", "bread")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(1)
    settings = RraBertSettings(base="minilm", max_length=64)
    path = model_path(settings.base)
    folder = tmp_path_factory.mktemp("saved") / "model"
    export.save(kinds.build(settings, path), kinds.tokenizer_of(settings, path), settings, folder, PAIRS)
    return folder


def test_saved_student_reproduces_its_probe_scores(saved):
    assert parity.difference(saved) <= 1e-5
    assert len(json.loads((saved / CONFIG_FILE).read_text())["probes"]) == len(parity.PROBES)


def test_config_has_the_language_unless_it_is_english(saved, tmp_path):
    assert "language" not in json.loads((saved / CONFIG_FILE).read_text())
    assert Scorer(saved).language == "english"
    settings = RraBertSettings(base="minilm", max_length=64)
    path = model_path(settings.base)
    model, tokenizer = kinds.build(settings, path), kinds.tokenizer_of(settings, path)
    export.save(model, tokenizer, settings, tmp_path / "model", PAIRS, "korean")
    assert Scorer(tmp_path / "model").language == "korean"


def test_changed_weights_exceed_the_tolerance(saved, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    weights = load_file(changed / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.5.output.dense.weight"))
    weights[name] = weights[name] * 1.5
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    assert parity.difference(changed) > parity.TOLERANCE


def test_no_parity_result_without_saved_probes(saved, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(saved, old)
    config = json.loads((old / CONFIG_FILE).read_text())
    del config["probes"]
    (old / CONFIG_FILE).write_text(json.dumps(config))
    assert parity.difference(old) is None


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("theirs")
    AutoModelForSequenceClassification.from_pretrained(model_path("minilm"), num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(folder)
    return folder


def test_cross_encoder_scores_match_sentence_transformers(classifier):
    from sentence_transformers import CrossEncoder

    theirs = CrossEncoder(str(classifier), device="cpu", max_length=32).predict(
        PAIRS, activation_fn=torch.nn.Identity()
    )
    ours = ClassifierScorer(str(classifier), 32, "fp32").score(PAIRS)
    assert ours == pytest.approx(theirs.tolist(), abs=1e-5)
    assert Model(str(classifier), 32).load().max_length == 32


def test_model_without_a_trained_head_is_rejected(tmp_path):
    with pytest.raises(InputError, match=r"has no classification head \(BertModel\), so its scores would be random"):
        ClassifierScorer(model_path("minilm"))
    AutoModel.from_pretrained(model_path("minilm"), num_labels=1).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=r"model .*: has no classification head \(BertModel\), so its scores would be random"
    ):
        ClassifierScorer(str(tmp_path))


def test_model_without_weights_is_reported(classifier, tmp_path):
    shutil.copytree(classifier, tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"bare': the folder has no weights, such as model\.safetensors"):
        ClassifierScorer(str(tmp_path / "bare"))


def test_more_labels_or_a_longer_max_length_are_rejected(classifier, tmp_path):
    with pytest.raises(InputError, match=r"max_length 600 exceeds the model's limit of \d+ tokens"):
        ClassifierScorer(str(classifier), 600)
    AutoModelForSequenceClassification.from_pretrained(model_path("minilm"), num_labels=3).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has 3 labels .*; choose a cross-encoder with one label"):
        ClassifierScorer(str(tmp_path))


def test_latency_probe_measures_a_student(saved):
    documents = [
        Candidate(doc_id=str(i), title="", text="a document", rank=i, score=0.0, retriever="bm25") for i in range(1, 6)
    ]
    measured = LatencyProbe(ServingSettings()).time(
        Model(str(saved)), [CandidateList(query_id="q", text="query", candidates=documents)] * 4
    )
    assert 0 < measured.latency.p50 <= measured.latency.p95
    assert measured.size.parameters == Scorer(saved).parameters > 20_000_000
    assert measured.parity.passed
    machine = LatencyProbe(ServingSettings()).machine()
    assert machine.threads == machine.cores
    assert LatencyProbe(ServingSettings(replicas=1, max_replicas=machine.cores)).machine().threads == 1


def test_nan_scores_fail_the_parity_check(saved, monkeypatch):
    original = Scorer.score

    def broken(self, pairs):
        return [float("nan")] * len(pairs) if isinstance(self.model, OnnxStudent) else original(self, pairs)

    monkeypatch.setattr(Scorer, "score", broken)
    assert not parity.difference(saved) <= parity.TOLERANCE


def test_max_length_cannot_be_set_for_a_saved_student(saved):
    with pytest.raises(InputError, match="max_length cannot be set for a saved student"):
        Model(str(saved), 64).load()


def test_all_engines_give_the_same_scores(saved):
    many = [(query, f"{document} {'word ' * n}") for n in range(0, 40, 3) for query, document in PAIRS]
    expected = Scorer(saved, "fp32", "torch").score(many)
    for engine in parity.ENGINES[1:]:
        assert Scorer(saved, "fp32", engine).score(many) == pytest.approx(expected, abs=1e-4), engine
    assert Scorer(saved, "bf16", "openvino").score(many) == pytest.approx(expected, abs=0.2)


def test_first_openvino_inference_runs_in_the_main_thread(saved, monkeypatch):
    original, threads = OpenVinoStudent.forward, []

    def forward(student, batch):
        threads.append(threading.current_thread())
        return original(student, batch)

    monkeypatch.setattr(OpenVinoStudent, "forward", forward)
    scorer = Scorer(saved, "fp32", "openvino")
    assert threads == [threading.main_thread()]
    scorer.score(PAIRS)
    assert threading.main_thread() not in threads[1:]


def test_process_handles_signals_after_openvino_students_were_released(saved):
    code = """if True:
        import os, signal, sys
        from pathlib import Path

        import torch
        from students.onnx_file import OpenVinoStudent

        first, second = (OpenVinoStudent(Path(sys.argv[1]), torch.float32) for _ in range(2))
        del first
        del second
        signal.signal(signal.SIGTERM, lambda *_: print("handled"))
        os.kill(os.getpid(), signal.SIGTERM)
    """
    done = subprocess.run([sys.executable, "-c", code, saved / "model.onnx"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n")
