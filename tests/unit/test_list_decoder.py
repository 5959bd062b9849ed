"""A decoder whose weights are written: it lists what its scores say, before any training."""

import random

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from actors.teachers.prompts import PromptFiller
from models import minilm_list
from models.list_decoder import configuration
from models.list_decoder.answering import fit_scores
from models.list_material import Material, pieces_of
from models.list_prompts import PromptWriter, tokenizer_of
from models.lists import bi_encoder
from ranking.collections.pydoc.passages import read_passages
from ranking.encoders import model_path
from ranking.labelling.answers import read_answer
from ranking.labelling.prompts import MINILM_LIST, load_prompt

TEXTS = [document.text for document in read_passages()][:600:2]
ASKED = [" ".join(text.split()[:5]) for text in TEXTS[:12]]
CLOSE = 0.25
"""A difference of raw scores, which are between 0 and 7."""


@pytest.fixture(scope="module")
def tokenizing():
    return tokenizer_of(model_path("minilm"))


@pytest.fixture(scope="module")
def material(tokenizing):
    """Lists of twenty documents; the words that are asked for begin one of them."""
    tokenizer, _, tokens = tokenizing
    others = range(len(ASKED), len(TEXTS))
    lists = [random.Random(number).sample([number, *random.Random(number).sample(others, 19)], 20) for number in range(len(ASKED))]
    encode = bi_encoder()
    queries, documents = torch.from_numpy(encode(ASKED)), torch.from_numpy(encode(TEXTS))
    pieces, asked = ([pieces_of(tokenizer, text, 64) for text in given] for given in (TEXTS, ASKED))
    return Material(PromptWriter(tokens, pieces), asked, lists, queries, documents)


@pytest.fixture
def begun(tokenizing, material):
    tokenizer, words, _ = tokenizing
    return minilm_list.begun(model_path("minilm"), tokenizer.pad_token_id, words, material)


def answered(decoder, tokenizer, prompt):
    written = decoder.generate(prompt[None], max_new_tokens=22, do_sample=False)[0, len(prompt) :]
    return tokenizer.decode(written, skip_special_tokens=True)


def scores_of(decoder, places, material, number):
    with torch.inference_mode():
        return minilm_list.scored(decoder, places, material.prompt(number), material.writer.tokens.document)[0]


def test_each_part_of_a_prompt_and_an_answer_is_a_token(tokenizing, tmp_path):
    tokenizer, words, tokens = tokenizing
    assert len(words) == len(tokenizer) == max(tokens.later) + 1
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    filled = loaded.apply_chat_template([{"role": "user", "content": "Late? <2> trains [DOC]"}], tokenize=False, add_generation_prompt=True)
    ids = loaded.encode(filled, add_special_tokens=False)
    assert loaded.convert_ids_to_tokens(ids) == ["[CLS]", "late", "?", "<2>", "trains", "[DOC]", "[ANSWER]"]
    assert loaded.decode([tokens.first[2], tokens.later[0], tokens.later[19], tokens.end], skip_special_tokens=True) == "[3] > [1] > [20]"


def test_the_teacher_fills_the_prompts_that_are_learned_from(tokenizing, tmp_path):
    tokenizer, words, tokens = tokenizing
    encoder = BertModel(BertConfig(num_hidden_layers=1, vocab_size=100))
    configuration(encoder, len(words), 1536, tokens, tokenizer.pad_token_id).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    odd = ["see [3] > [12]", "<2> is no tag", "[SEP] [DOC] [ANSWER]", "two\n\nlines", "naïve 서울", "a[0] " * 60, "x"]
    texts = [f"{text} {number}" for number, text in enumerate(odd * 3)][:20]
    query = "which [1] of <20>?"
    filler = PromptFiller(load_prompt(MINILM_LIST), str(tmp_path), None, None, 64)
    writer = PromptWriter(tokens, [pieces_of(tokenizer, text, 64) for text in texts])
    filled = filler.fill(query, texts, "seed")
    assert filled.tokens == writer.prompt(pieces_of(tokenizer, query, 32), range(20))
    assert filled.document_tokens == 64
    with pytest.raises(ValueError, match="20 documents at most, not 21"):
        filler.fill(query, [*texts, "one more"], "seed")


@pytest.mark.parametrize("listed", [1, 3, 20])
def test_it_lists_documents_by_their_scores_down_to_the_threshold_and_one_at_least(listed, begun, tokenizing, material):
    decoder, places, _ = begun
    for number in range(len(material.lists)):
        scores = scores_of(decoder, places, material, number)
        ordered = scores.sort(descending=True).values
        threshold = {1: ordered[0] + 5, 3: ordered[2:4].mean(), 20: ordered[-1] - 1}[listed]
        fit_scores(decoder, places, tokenizing[2].begin, 1.0, 0.0, float(threshold))
        read = read_answer(answered(decoder, tokenizing[0], material.prompt(number)), 20)
        assert read.verdict == "ok"
        assert near(len(read.order), listed, ordered)
        falls(scores, read.order)


def near(count, listed, ordered):
    """Whether so many were listed, or others whose score is as good as the threshold."""
    return count == listed or abs(float(ordered[min(count, listed) - 1] - ordered[max(count, listed) - 1])) < 2 * CLOSE


def falls(scores, order):
    """Scores that are close may change places, as each identifier is a little louder or quieter than the others."""
    listed = [float(scores[place - 1]) for place in order]
    left = [float(score) for place, score in enumerate(scores, start=1) if place not in order]
    assert all(after < before + CLOSE for before, after in zip(listed, [*listed[1:], max(left, default=-100.0)], strict=True))


def test_before_training_most_pairs_are_in_the_order_of_the_cosines(begun, material):
    decoder, places, _ = begun
    alike, pairs = 0, 0
    for number in range(len(material.lists)):
        scores, targets = scores_of(decoder, places, material, number), material.targets(number)
        alike += int(((scores[:, None] - scores) * (targets[:, None] - targets) > 0).sum())
        pairs += len(scores) * (len(scores) - 1)
    assert alike / pairs > 0.6


def test_training_leaves_the_written_circuits_alone(begun, tokenizing, material, tmp_path, monkeypatch):
    decoder, places, axes = begun
    for name, value in {"HELD_OUT": 1, "_RATE": 2e-4, "_PROMPTS_PER_STEP": 4}.items():
        monkeypatch.setattr(minilm_list, name, value)
    before = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    minilm_list.learn(decoder, places, axes, material, (1.0, 0.0), tmp_path / "checkpoint.pt", 13)
    after = decoder.state_dict()
    layers = "model.decoder.layers."
    same = [name for name, weight in after.items() if torch.equal(weight, before[name])]
    assert {name for name in after if name.startswith(f"{layers}7.")} <= set(same)
    assert "model.decoder.embed_tokens.weight" in same
    for name in (f"{layers}0.self_attn.q_proj.weight", f"{layers}5.fc1.weight"):
        assert name not in same
        assert torch.equal(after[name][:, places.channels], before[name][:, places.channels])
    assert torch.equal(after[f"{layers}3.fc2.weight"][places.channels], before[f"{layers}3.fc2.weight"][places.channels])
    for number in range(len(material.lists)):
        scores = scores_of(decoder, places, material, number)
        fit_scores(decoder, places, tokenizing[2].begin, 1.0, 0.0, float(scores.min()) - 1)
        read = read_answer(answered(decoder, tokenizing[0], material.prompt(number)), 20)
        assert read.verdict == "ok"
        assert len(read.order) == 20
        falls(scores, read.order)


def test_cut_off_it_learns_on_to_the_same_weights(begun, material, tmp_path, monkeypatch):
    decoder, places, axes = begun
    for name, value in {"HELD_OUT": 1, "_EACH": 1, "_PROMPTS_PER_STEP": 2}.items():
        monkeypatch.setattr(minilm_list, name, value)
    start = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    scaling = minilm_list.learn(decoder, places, axes, material, (1.0, 0.0), tmp_path / "whole.pt", 13)
    whole = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    assert any((whole[name] != start[name]).any() for name in whole)

    kept = minilm_list.Learning.keep

    def cut_off(*given):
        kept(*given)
        raise KeyboardInterrupt

    decoder.load_state_dict(start)
    monkeypatch.setattr(minilm_list.Learning, "keep", cut_off)
    with pytest.raises(KeyboardInterrupt):
        minilm_list.learn(decoder, places, axes, material, (1.0, 0.0), tmp_path / "cut.pt", 13)
    monkeypatch.setattr(minilm_list.Learning, "keep", kept)
    decoder.load_state_dict(start)
    assert minilm_list.learn(decoder, places, axes, material, (1.0, 0.0), tmp_path / "cut.pt", 13) == scaling
    assert all(torch.equal(weight, whole[name]) for name, weight in decoder.state_dict().items())
    monkeypatch.setattr(minilm_list, "_PROMPTS_PER_STEP", 3)
    with pytest.raises(SystemExit, match="is of 6 steps, not 4"):
        minilm_list.learn(decoder, places, axes, material, (1.0, 0.0), tmp_path / "cut.pt", 13)
