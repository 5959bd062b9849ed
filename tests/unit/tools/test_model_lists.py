"""Lists without a label: queries made of passages, candidates by BM25, targets of both."""

import random

import pytest
import torch
from safetensors import safe_open
from sentence_transformers import CrossEncoder

from ranking.model_paths import model_path
from students import kinds
from students.scoring import ClassifierScorer, forward_pairs
from students.settings import RraBertSettings
from tools.cross_material import bi_encoder, candidates_of, lists_of, query_of, target_of
from tools.minilm_cross import MIDDLE, SCALE, begun, learn, save
from tools.texts import Passage

WORDS = "amber basin cedar delta ember fjord grove heron islet jetty knoll larch marsh north ochre prism quartz ridge shoal thorn".split()
PASSAGES = [
    Passage(
        f"{a} {b}",
        f"The {a} lies near a {b} in the north. Nobody knows why the {a} is there. It was found by {c} hunters.",
    )
    for a, b, c in zip(WORDS, WORDS[1:], WORDS[2:], strict=False)
]


def test_a_sentence_that_is_asked_for_is_taken_out_of_the_passage():
    made = [query_of(PASSAGES[0], random.Random(seed)) for seed in range(200)]
    taken = [(query, rest) for query, rest in made if rest != PASSAGES[0].text]
    assert len(taken) > 40
    assert all(query not in rest for query, rest in taken)
    others = [query for query, rest in made if rest == PASSAGES[0].text]
    assert any(query.endswith("amber basin") for query in others)
    assert all("the" not in query.split() for query in others)


def test_candidates_are_the_own_passage_near_ones_and_a_random_one():
    texts = [passage.text for passage in PASSAGES]
    ((chosen, parts),) = candidates_of(["amber basin hunters"], [0], texts, seed=1)
    assert chosen[0] == 0
    assert parts[0] == 1.0
    assert len(chosen) == len(set(chosen)) <= 8
    assert all(0 <= part <= 1 for part in parts)
    assert candidates_of(["amber basin hunters"], [0], texts, seed=1) == [(chosen, parts)]


def test_targets_are_cosine_and_a_part_of_bm25():
    encode = bi_encoder()
    texts, lists = lists_of(PASSAGES, 6, encode, seed=3)
    assert len(lists) == 6
    for one in lists:
        assert len(one.passages) == len(one.targets)
        (query,) = encode([one.query])
        cosines = encode([texts[number] for number in one.passages]) @ query
        assert all(-1e-4 <= target - cosine <= 0.2001 for target, cosine in zip(one.targets, cosines, strict=True))
    assert target_of(0.5, 1.0) == pytest.approx(0.7)


def test_what_was_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.minilm_cross._LISTS_PER_STEP", 2)
    monkeypatch.setattr("tools.minilm_cross._EACH", 1)
    settings, path = RraBertSettings(), model_path("minilm")
    tokenizer = kinds.tokenizer_of(settings, path)
    texts, lists = lists_of(PASSAGES, 6, bi_encoder(), seed=3)

    def learned(checkpoint):
        torch.manual_seed(0)
        student = kinds.build(settings, path)
        for module in student.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        learn(kinds.in_training(student, settings, path), tokenizer, texts, lists, checkpoint, seed=1)
        return student.state_dict()

    whole = learned(tmp_path / "whole.pt")
    real = torch.optim.AdamW.step
    left = [2]

    def cut(*arguments, **more):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", cut)
        with pytest.raises(KeyboardInterrupt):
            learned(tmp_path / "cut.pt")
    resumed = learned(tmp_path / "cut.pt")
    assert all(whole[name].equal(resumed[name]) for name in whole)


def test_weights_are_kept_in_bf16_and_scores_are_computed_in_float32(tmp_path):
    settings, path = RraBertSettings(), model_path("minilm")
    torch.manual_seed(0)
    student, tokenizer = kinds.build(settings, path), kinds.tokenizer_of(settings, path)
    pairs = [("copper wire", passage.text) for passage in PASSAGES]
    assert save(student, tokenizer, pairs, tmp_path) < 0.02
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}  # noqa: SIM118
    model = CrossEncoder(str(tmp_path), device="cpu")
    assert model.model.dtype == torch.float32
    expected = ClassifierScorer(str(tmp_path), precision="fp32").score(pairs)
    assert model.predict(pairs, activation_fn=torch.nn.Identity()) == pytest.approx(expected, abs=1e-4)


def test_before_any_training_it_orders_nearly_as_the_sentence_encoder():
    path = model_path("minilm")
    tokenizer = kinds.tokenizer_of(RraBertSettings(base="minilm"), path)
    texts, lists = lists_of(PASSAGES, 18, bi_encoder(), seed=3)
    student = begun(tokenizer, path, texts, lists)
    pairs = [(one.query, texts[number]) for one in lists for number in one.passages]
    wanted = torch.tensor([SCALE * (target - MIDDLE) for one in lists for target in one.targets])
    with torch.inference_mode():
        scores = forward_pairs(student, tokenizer, pairs, 64)
    assert torch.corrcoef(torch.stack([scores, wanted]))[0, 1] > 0.6
    assert float(scores.mean()) == pytest.approx(float(wanted.mean()), abs=0.01)
    assert len(student.base.encoder.layer) == 7
    assert type(student.classifier).__name__ == "BertForSequenceClassification"
