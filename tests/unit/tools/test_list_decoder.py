"""A decoder whose weights are written: it lists what its scores say, before any training."""

import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel

from actors.vllm.prompt_tokens import PromptFiller
from ranking.collections.pydoc import read
from ranking.errors import InputError
from ranking.labels.listwise_answers import read_answer
from ranking.model_paths import model_path
from ranking.prompts import MINILM_LIST, load_prompt
from tools import minilm_list
from tools.cross_material import bi_encoder
from tools.list_answers import answers_told
from tools.list_decoder import configuration
from tools.list_decoder.answering import fit_scores
from tools.list_decoder.places import CODES, MOST, StateDimensions
from tools.list_decoder.reading import recognise
from tools.list_material import Material, material_of, parted, pieces_of
from tools.list_prompts import PromptWriter, tokenizer_of
from tools.texts import Passage, sharing

TEXTS = [document.text for document in read().documents][:600:2]
ASKED = [" ".join(text.split()[:5]) for text in TEXTS[:12]]
CLOSE = 0.05
"""A difference of raw scores, which are between 0 and 8."""


@pytest.fixture(scope="module")
def tokenizing():
    return tokenizer_of(model_path("minilm"))


@pytest.fixture(scope="module")
def material(tokenizing):
    """Lists of twenty documents; the words that are asked for begin one of them."""
    tokenizer, _, tokens = tokenizing
    others = range(len(ASKED), len(TEXTS))
    lists = [
        random.Random(number).sample([number, *random.Random(number).sample(others, 19)], 20)
        for number in range(len(ASKED))
    ]
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
    filled = loaded.apply_chat_template(
        [{"role": "user", "content": "Late? <2> trains [DOC]"}], tokenize=False, add_generation_prompt=True
    )
    ids = loaded.encode(filled, add_special_tokens=False)
    assert loaded.convert_ids_to_tokens(ids) == ["[CLS]", "late", "?", "<2>", "trains", "[DOC]", "[ANSWER]"]
    assert (
        loaded.decode([tokens.first[2], tokens.later[0], tokens.later[19], tokens.end], skip_special_tokens=True)
        == "[3] > [1] > [20]"
    )


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
        threshold = float({1: ordered[0] + 5, 3: ordered[2:4].mean(), 20: ordered[-1] - 1}[listed])
        fit_scores(decoder, places, tokenizing[2].begin, 1.0, 0.0, threshold)
        read = read_answer(answered(decoder, tokenizing[0], material.prompt(number)), 20)
        assert read.parse_status == "ok"
        assert near(len(read.order), listed, ordered, threshold)
        falls(scores, read.order)


def test_a_code_is_recognised_where_a_layer_norm_moves_all_channels_alike():
    places = StateDimensions.of(range(384))
    dense = torch.nn.Linear(384, MOST + 2, bias=False)
    dense.requires_grad_(False).weight.zero_()
    for number in range(1, MOST + 2):
        recognise(dense, number, places, number, places.document, places.answer, 1.0)
    for number, code in enumerate(CODES):
        for document, answer in ((True, False), (False, False), (False, True)):
            state = torch.full((384,), -1.0)
            state[places.code], state[places.one] = torch.tensor(code), 1.0
            state[places.document], state[places.answer] = (1.0 if on else -1.0 for on in (document, answer))
            found = dense(torch.stack([state - 0.9, state, state + 0.9]))
            torch.testing.assert_close(found[0], found[1])
            torch.testing.assert_close(found[2], found[1])
            expected = [number] if document and number else []
            assert (found[1] > 0).nonzero().flatten().tolist() == expected
            assert found[1][1:].abs().min() > 1.9


class Scripted:
    """Stands for a decoder: gives one answer after the other."""

    device = torch.device("cpu")

    def __init__(self, *answers):
        self.answers = list(answers)

    def generate(self, prompt, **_):
        return torch.cat([prompt, torch.tensor([self.answers.pop(0)])], 1)


def test_it_is_told_what_the_answers_are_like(tokenizing, material):
    tokenizer, _, tokens = tokenizing
    targets = material.targets(0)
    best, second, third = targets.argsort(descending=True)[:3].tolist()
    answers = []
    for shuffle, shown in enumerate(([best, second], [second, best])):
        order = random.Random(f"{shuffle} 0").sample(range(20), 20)
        first, then = (order.index(document) for document in shown)
        answers.append(
            [tokens.first[first], tokens.later[then], *([tokens.later[then]] if shuffle else []), tokens.end]
        )
    told = answers_told(Scripted(*answers), tokenizer, material, float(targets[third]) - 1e-4, 1)
    alike = 1 - 1 / (2 * (1 + 18 + 18))  # one of the answers has the best two the other way round
    of_two = 36 / 37
    form = "1 of 2 answers in form, 2.0 documents listed (targets 3.0)"
    assert (
        told
        == f"{form}; pairs that are decided: {alike:.3f} as the targets, {of_two:.3f} as another shuffle of the prompt"
    )


def near(count, listed, ordered, threshold):
    """Whether so many were listed, or one more or less whose score is as good as the threshold."""
    differ = ordered[min(count, listed) : max(count, listed)]
    return bool((differ - threshold).abs().le(CLOSE).all())


def falls(scores, order, close=CLOSE):
    """Scores that are close may change places, as each identifier is a little louder or quieter than the others."""
    listed = [float(scores[place - 1]) for place in order]
    left = [float(score) for place, score in enumerate(scores, start=1) if place not in order]
    assert all(
        after < before + close for before, after in zip(listed, [*listed[1:], max(left, default=-100.0)], strict=True)
    )


def test_before_training_most_pairs_are_in_the_order_of_the_cosines(begun, material):
    decoder, places, _ = begun
    alike, pairs = 0, 0
    for number in range(len(material.lists)):
        scores, targets = scores_of(decoder, places, material, number), material.targets(number)
        alike += int(((scores[:, None] - scores) * (targets[:, None] - targets) > 0).sum())
        pairs += len(scores) * (len(scores) - 1)
    assert alike / pairs > 0.6


def test_training_learns_scores_and_leaves_the_written_circuits_alone(
    begun, tokenizing, material, tmp_path, monkeypatch
):
    decoder, places, axes = begun
    for name, value in {"HELD_OUT": 2, "_PROMPTS_PER_STEP": 4}.items():
        monkeypatch.setattr(minilm_list, name, value)
    two = replace(
        material,
        lists=material.lists[:2] * 17,
        asked=material.asked[:2] * 17,
        queries=material.queries[:2].repeat(17, 1),
    )
    monkeypatch.setattr(minilm_list, "FITTED", 2)
    scaling = minilm_list._fitted(decoder, places, two)
    before = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    error = error_of(minilm_list.measured(decoder, places, two, scaling))
    scaling = minilm_list.learn(decoder, places, axes, two, scaling, tmp_path / "checkpoint.pt", 13)
    assert error_of(minilm_list.measured(decoder, places, two, scaling)) < 0.7 * error
    after = decoder.state_dict()
    layers = "model.decoder.layers."
    same = [name for name, weight in after.items() if torch.equal(weight, before[name])]
    assert {name for name in after if name.startswith(f"{layers}7.")} <= set(same)
    assert "model.decoder.embed_tokens.weight" in same
    for name in (f"{layers}0.self_attn.q_proj.weight", f"{layers}5.fc1.weight"):
        assert name not in same
        assert torch.equal(after[name][:, places.channels], before[name][:, places.channels])
    assert torch.equal(
        after[f"{layers}3.fc2.weight"][places.channels], before[f"{layers}3.fc2.weight"][places.channels]
    )
    for number in range(len(material.lists)):
        scores = scores_of(decoder, places, material, number)
        fit_scores(decoder, places, tokenizing[2].begin, 1.0, 0.0, float(scores.min()) - 1)
        read = read_answer(answered(decoder, tokenizing[0], material.prompt(number)), 20)
        assert read.parse_status == "ok"
        assert len(read.order) == 20
        falls(scores, read.order, 2 * CLOSE)


def error_of(told):
    return float(told.split()[2].rstrip(","))


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
    with pytest.raises(InputError, match="is of 6 steps, not 4"):
        minilm_list.learn(decoder, places, axes, material, (1.0, 0.0), tmp_path / "cut.pt", 13)


def test_passages_that_are_held_out_are_like_none_that_is_learned_from_nor_the_pydoc_collection_s(monkeypatch):
    words = [f"word{number}" for number in range(400)]
    own = [Passage(str(start), " ".join(words[start : start + 10])) for start in range(0, 400, 10)]
    likes = [Passage("like", f"{one.text} and more of it") for one in own[:20]]
    question = next(query.text for query in read().test if len(query.text.split()) > 7)
    pydoc = [Passage("pydoc", f"{max(TEXTS, key=len)} more"), Passage("question", f"It asks, {question.upper()}")]
    unseen, learned = parted([*own, *likes, *pydoc], 13)
    assert unseen
    assert len(learned) == 48
    assert not sharing([one.text for one in unseen], [one.text for one in learned])
    assert not {"pydoc", "question"} & {one.title for one in [*unseen, *learned]}


def test_lists_of_other_numbers_are_not_taken_for_those_that_are_asked_for(tokenizing, tmp_path):
    (tmp_path / "lists.json").write_text('{"made": {"lists": 40, "passages": 1000, "seed": 13}}', encoding="utf-8")
    with pytest.raises(InputError, match=r"lists\.json was made with .*'lists': 40.*not with .*'lists': 50"):
        material_of(tmp_path, 50, 1000, 13, tokenizing[0], tokenizing[2])


@pytest.fixture(scope="module")
def kept():
    folder = model_path("minilm-list")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(
        folder
    )


AWKWARD = {
    "one document": ("how do plants grow", ["Plants grow by light."]),
    "an empty document": ("how do plants grow", ["", "Plants grow by light.", " "]),
    "no query": ("", ["Plants grow by light.", "Granite is a rock."]),
    "another script": ("식물은 어떻게 자라나", ["빛으로 자란다.", "Le granit est une roche."]),
    "its own tokens": ("[ANSWER] <3> [DOC]", ["[1] > [2] [SEP]", "</s> <1> [DOC] [CLS]", "[ANSWER] [3]"]),
    "a long query": ("why " * 300, ["Plants grow by light.", "Granite is a rock."]),
    "the same twenty times": ("how do plants grow", ["Plants grow by light."] * 20),
    "twenty without an answer": ("how do plants grow", [f"Law number {number} of the sea." for number in range(20)]),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_the_kept_model_answers_in_form_whatever_it_is_asked(case, kept):
    decoder, tokenizer = kept
    query, texts = AWKWARD[case]
    filler = PromptFiller(load_prompt(MINILM_LIST), model_path("minilm-list"), None, None, 64)
    read = read_answer(answered(decoder, tokenizer, torch.tensor(filler.fill(query, texts, "seed").tokens)), len(texts))
    assert read.parse_status == "ok"
    assert read.order


def test_the_kept_model_lists_what_answers_first_and_leaves_out_what_does_not(kept):
    decoder, tokenizer = kept
    texts = [
        "Granite is a hard rock.",
        "Bread rises because yeast makes gas.",
        "The law of the sea.",
        "Yeast is what makes dough bigger.",
    ]
    filler = PromptFiller(load_prompt(MINILM_LIST), model_path("minilm-list"), None, None, 64)
    tokens = torch.tensor(filler.fill("why does bread dough get bigger", texts, "seed").tokens)
    read = read_answer(answered(decoder, tokenizer, tokens), len(texts))
    assert set(read.order) == {2, 4}
