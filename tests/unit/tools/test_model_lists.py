"""Training of minilm-cross: queries from passages, BM25 candidates, targets, and resuming."""

import random

import pytest
import torch
from safetensors import safe_open
from sentence_transformers import CrossEncoder

from ranking.model_manifest import read_model_manifest
from ranking.model_paths import model_path
from students import kinds
from students.forward_passes import forward_pairs
from students.scoring import ClassifierScorer
from students.student_settings import RraBertSettings
from tests.testing.facts import ROOT
from tools.cross_material import bi_encoder, candidates_of, lists_of, query_of, target_of
from tools.minilm_cross import MIDDLE, SCALE, initial_classifier, save, train
from tools.texts import Passage

WORDS = (
    "amber basin cedar delta ember fjord grove heron islet jetty "
    "knoll larch marsh north ochre prism quartz ridge shoal thorn"
).split()
PASSAGES = [
    Passage(
        f"{a} {b}",
        f"The {a} lies near a {b} in the north. Nobody knows why the {a} is there. It was found by {c} hunters.",
    )
    for a, b, c in zip(WORDS, WORDS[1:], WORDS[2:], strict=False)
]


def test_sentence_that_becomes_the_query_is_removed_from_the_passage():
    results = [query_of(PASSAGES[0], random.Random(seed)) for seed in range(200)]
    removed = [(query, rest) for query, rest in results if rest != PASSAGES[0].text]
    assert len(removed) > 40
    assert all(query not in rest for query, rest in removed)
    others = [query for query, rest in results if rest == PASSAGES[0].text]
    assert any(query.endswith("amber basin") for query in others)
    assert all("the" not in query.split() for query in others)


def test_candidates_are_source_passage_bm25_results_and_a_random_passage():
    texts = [passage.text for passage in PASSAGES]
    ((chosen, scores),) = candidates_of(["amber basin hunters"], [0], texts, seed=1)
    assert chosen[0] == 0
    assert scores[0] == 1.0
    assert len(chosen) == len(set(chosen)) <= 8
    assert all(0 <= score <= 1 for score in scores)
    assert candidates_of(["amber basin hunters"], [0], texts, seed=1) == [(chosen, scores)]


def test_targets_are_cosine_plus_a_share_of_bm25():
    encode = bi_encoder()
    texts, lists = lists_of(PASSAGES, 6, encode, seed=3)
    assert len(lists) == 6
    for row in lists:
        assert len(row.passages) == len(row.targets)
        (query,) = encode([row.query])
        cosines = encode([texts[number] for number in row.passages]) @ query
        assert all(-1e-4 <= target - cosine <= 0.2001 for target, cosine in zip(row.targets, cosines, strict=True))
    assert target_of(0.5, 1.0) == pytest.approx(0.7)


def test_resumed_training_reaches_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.minilm_cross._LISTS_PER_STEP", 2)
    monkeypatch.setattr("tools.minilm_cross._CHECKPOINT_EVERY", 1)
    settings, path = RraBertSettings(), model_path("minilm")
    tokenizer = kinds.tokenizer_of(settings, path)
    texts, lists = lists_of(PASSAGES, 6, bi_encoder(), seed=3)

    def trained_weights(checkpoint):
        torch.manual_seed(0)
        student = kinds.build(settings, path)
        for module in student.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        train(kinds.wrap_for_training(student, settings, path), tokenizer, texts, lists, checkpoint, seed=1)
        return student.state_dict()

    uninterrupted = trained_weights(tmp_path / "uninterrupted.pt")
    step = torch.optim.AdamW.step
    remaining = [2]

    def interrupted_step(*args, **kwargs):
        remaining[0] -= 1
        if remaining[0] < 0:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", interrupted_step)
        with pytest.raises(KeyboardInterrupt):
            trained_weights(tmp_path / "interrupted.pt")
    resumed = trained_weights(tmp_path / "interrupted.pt")
    assert all(uninterrupted[name].equal(resumed[name]) for name in uninterrupted)


def manifest_without_hash(folder):
    return read_model_manifest(folder).model_dump(exclude={"sha256"})


def test_saved_weights_are_bf16_and_scores_are_float32(tmp_path):
    settings, path = RraBertSettings(), model_path("minilm")
    torch.manual_seed(0)
    student, tokenizer = kinds.build(settings, path), kinds.tokenizer_of(settings, path)
    pairs = [("copper wire", passage.text) for passage in PASSAGES]
    assert save(student, tokenizer, pairs, tmp_path) < 0.02
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}  # noqa: SIM118
    assert manifest_without_hash(tmp_path) == manifest_without_hash(ROOT / "models" / "minilm-cross")
    assert model_path(str(tmp_path)) == str(tmp_path)
    model = CrossEncoder(str(tmp_path), device="cpu")
    assert model.model.dtype == torch.float32
    expected = ClassifierScorer(str(tmp_path), precision="fp32").score(pairs)
    assert model.predict(pairs, activation_fn=torch.nn.Identity()) == pytest.approx(expected, abs=1e-4)


def test_untrained_classifier_ranks_like_the_sentence_encoder():
    path = model_path("minilm")
    tokenizer = kinds.tokenizer_of(RraBertSettings(base="minilm"), path)
    texts, lists = lists_of(PASSAGES, 18, bi_encoder(), seed=3)
    student = initial_classifier(tokenizer, path, texts, lists)
    pairs = [(row.query, texts[number]) for row in lists for number in row.passages]
    targets = torch.tensor([SCALE * (target - MIDDLE) for row in lists for target in row.targets])
    with torch.inference_mode():
        scores = forward_pairs(student, tokenizer, pairs, 64)
    assert torch.corrcoef(torch.stack([scores, targets]))[0, 1] > 0.6
    assert float(scores.mean()) == pytest.approx(float(targets.mean()), abs=0.01)
    assert len(student.base.encoder.layer) == 7
    assert type(student.classifier).__name__ == "BertForSequenceClassification"
