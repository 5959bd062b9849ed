"""A saved student knows its scores of some probes; a classifier of others is read only if it scores at all."""

import json
import shutil
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from actors.data.rows import CandidateList
from actors.scoring.latency import LatencyProbe
from actors.scoring.scorers import Model
from actors.serving.settings import ServingSettings
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.records import Candidate
from students import export, kinds, parity
from students.onnx_file import OnnxStudent, OpenVinoStudent
from students.scoring import CARD, ClassifierScorer, Scorer
from students.settings import RraBertSettings

PAIRS = [("how do I sort", "sorted(iterable) returns a new list"), ("how do I sort", "bread")]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    torch.manual_seed(1)
    settings = RraBertSettings(base="minilm", max_length=64)
    path = model_path(settings.base)
    folder = tmp_path_factory.mktemp("saved") / "model"
    export.save(kinds.build(settings, path), kinds.tokenizer_of(settings, path), settings, folder, PAIRS)
    return folder


def test_a_saved_student_scores_its_probes_as_when_it_was_saved(saved):
    assert parity.difference(saved) <= 1e-5
    assert len(json.loads((saved / CARD).read_text())["probes"]) == len(parity.PROBES)


def test_other_weights_are_seen(saved, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(saved, changed)
    weights = load_file(changed / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.5.output.dense.weight"))
    weights[name] = weights[name] * 1.5
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    assert parity.difference(changed) > parity.TOLERANCE


def test_a_card_without_probes_tells_nothing(saved, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(saved, old)
    card = json.loads((old / CARD).read_text())
    del card["probes"]
    (old / CARD).write_text(json.dumps(card))
    assert parity.difference(old) is None


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("theirs")
    AutoModelForSequenceClassification.from_pretrained(model_path("minilm"), num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(folder)
    return folder


def test_any_cross_encoder_scores_as_sentence_transformers_has_it(classifier):
    from sentence_transformers import CrossEncoder

    theirs = CrossEncoder(str(classifier), device="cpu", max_length=32).predict(
        PAIRS, activation_fn=torch.nn.Identity()
    )
    ours = ClassifierScorer(str(classifier), 32, "fp32").score(PAIRS)
    assert ours == pytest.approx(theirs.tolist(), abs=1e-5)
    assert Model(str(classifier), 32).load().max_length == 32


def test_a_model_without_a_head_would_score_at_random(tmp_path):
    with pytest.raises(InputError, match="has 2 labels"):
        ClassifierScorer(model_path("minilm"))
    AutoModel.from_pretrained(model_path("minilm"), num_labels=1).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=r"model .*: classifier.bias is not in its weights, so its scores would be random"
    ):
        ClassifierScorer(str(tmp_path))


def test_a_model_without_weights_is_named(classifier, tmp_path):
    shutil.copytree(classifier, tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="bare': its weights cannot be read"):
        ClassifierScorer(str(tmp_path / "bare"))


def test_other_numbers_of_labels_and_lengths_are_refused(classifier, tmp_path):
    with pytest.raises(InputError, match=r"max_length 600 is more than the \d+ tokens that it can read"):
        ClassifierScorer(str(classifier), 600)
    AutoModelForSequenceClassification.from_pretrained(model_path("minilm"), num_labels=3).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="has 3 labels; a cross-encoder with one is needed"):
        ClassifierScorer(str(tmp_path))


def test_a_model_is_timed_alone(saved):
    documents = [
        Candidate(doc_id=str(i), title="", text="a document", rank=i, score=0.0, retriever="bm25") for i in range(1, 6)
    ]
    timed = LatencyProbe(ServingSettings()).time(
        Model(str(saved)), [CandidateList(query_id="q", text="query", candidates=documents)] * 4
    )
    assert 0 < timed.latency.p50 <= timed.latency.p95
    assert timed.size.parameters == Scorer(saved).parameters > 20_000_000
    assert timed.parity.passed
    machine = LatencyProbe(ServingSettings()).machine()
    assert machine.threads == machine.cores
    assert LatencyProbe(ServingSettings(replicas=1, max_replicas=machine.cores)).machine().threads == 1


def test_scores_that_are_no_numbers_fail(saved, monkeypatch):
    true = Scorer.score

    def broken(self, pairs):
        return [float("nan")] * len(pairs) if isinstance(self.model, OnnxStudent) else true(self, pairs)

    monkeypatch.setattr(Scorer, "score", broken)
    assert not parity.difference(saved) <= parity.TOLERANCE


def test_the_length_of_a_saved_student_is_its_own(saved):
    with pytest.raises(InputError, match="is a saved student, whose max_length is its own"):
        Model(str(saved), 64).load()


def test_every_engine_scores_alike(saved):
    many = [(query, f"{document} {'word ' * n}") for n in range(0, 40, 3) for query, document in PAIRS]
    expected = Scorer(saved, "fp32", "torch").score(many)
    for engine in parity.ENGINES[1:]:
        assert Scorer(saved, "fp32", engine).score(many) == pytest.approx(expected, abs=1e-4), engine
    assert Scorer(saved, "bf16", "openvino").score(many) == pytest.approx(expected, abs=0.2)


def test_the_first_inference_in_openvino_is_made_alone(saved, monkeypatch):
    real, threads = OpenVinoStudent.forward, []

    def forward(student, batch):
        threads.append(threading.current_thread())
        return real(student, batch)

    monkeypatch.setattr(OpenVinoStudent, "forward", forward)
    scorer = Scorer(saved, "fp32", "openvino")
    assert threads == [threading.main_thread()]
    scorer.score(PAIRS)
    assert threading.main_thread() not in threads[1:]
