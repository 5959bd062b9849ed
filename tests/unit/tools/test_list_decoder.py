"""The list decoder: constructed weights and training."""

import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, OPTForCausalLM

from actors.vllm.prompt_tokens import PromptFiller
from ranking.collections.pydoc import read
from ranking.errors import InputError
from ranking.labels.listwise_answers import read_answer
from ranking.model_manifest import read_model_manifest
from ranking.model_paths import model_path
from ranking.prompts import bundled_prompt, load_prompt
from tests.testing.facts import ROOT
from tools import list_training, minilm_list
from tools.cross_material import bi_encoder
from tools.list_answers import describe_answers
from tools.list_decoder import decoder_config
from tools.list_decoder.answer_layers import fit_scores
from tools.list_decoder.encoder_layers import detect_code
from tools.list_decoder.state_layout import CODES, MAX_DOCUMENTS, StateDimensions
from tools.list_material import Material, load_material, pieces_of, split_passages
from tools.list_prompts import PromptWriter, tokenizer_of
from tools.texts import Passage, overlapping

TEXTS = [document.text for document in read().documents][:600:2]
QUERIES = [" ".join(text.split()[:5]) for text in TEXTS[:12]]
CLOSE = 0.05
"""Tolerance for raw scores, which are between 0 and 8."""


@pytest.fixture(scope="module")
def tokenization():
    """Return the tokenizer, the encoder's token ids and the marker tokens."""
    return tokenizer_of(model_path("minilm"))


@pytest.fixture(scope="module")
def material(tokenization):
    """Return lists of twenty documents. Each query is the start of one of the documents."""
    tokenizer, _, tokens = tokenization
    others = range(len(QUERIES), len(TEXTS))
    lists = [
        random.Random(number).sample([number, *random.Random(number).sample(others, 19)], 20)
        for number in range(len(QUERIES))
    ]
    encode = bi_encoder()
    queries, documents = torch.from_numpy(encode(QUERIES)), torch.from_numpy(encode(TEXTS))
    pieces, query_tokens = ([pieces_of(tokenizer, text, 64) for text in texts] for texts in (TEXTS, QUERIES))
    return Material(PromptWriter(tokens, pieces), query_tokens, lists, queries, documents)


@pytest.fixture
def initial_decoder(tokenization, material):
    tokenizer, words, _ = tokenization
    return minilm_list.initial_decoder(model_path("minilm"), tokenizer.pad_token_id, words, material)


def generate(decoder, tokenizer, prompt):
    """Return the answer to a prompt as text."""
    generated = decoder.generate(prompt[None], max_new_tokens=22, do_sample=False)[0, len(prompt) :]
    return tokenizer.decode(generated, skip_special_tokens=True)


def scores_of(decoder, dims, material, number):
    """Return the raw scores of a list's documents."""
    with torch.inference_mode():
        return list_training.raw_scores_of(decoder, dims, material.prompt(number), material.writer.tokens.document)[0]


def test_each_part_of_prompt_and_answer_is_one_token(tokenization, tmp_path):
    tokenizer, words, tokens = tokenization
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


def test_saved_model_has_the_manifest_of_minilm_list(tokenization, tmp_path):
    tokenizer, words, tokens = tokenization
    encoder = BertModel(BertConfig(num_hidden_layers=1, vocab_size=100))
    decoder = OPTForCausalLM(decoder_config(encoder, len(words), 1536, tokens, tokenizer.pad_token_id))
    minilm_list.save(decoder, tokenizer, tmp_path)
    saved, released = read_model_manifest(tmp_path), read_model_manifest(ROOT / "models" / "minilm-list")
    assert saved.model_dump(exclude={"sha256"}) == released.model_dump(exclude={"sha256"})
    assert model_path(str(tmp_path)) == str(tmp_path)


def test_teacher_fills_the_same_prompts_as_in_training(tokenization, tmp_path):
    tokenizer, words, tokens = tokenization
    encoder = BertModel(BertConfig(num_hidden_layers=1, vocab_size=100))
    decoder_config(encoder, len(words), 1536, tokens, tokenizer.pad_token_id).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    odd = ["see [3] > [12]", "<2> is no tag", "[SEP] [DOC] [ANSWER]", "two\n\nlines", "naïve 서울", "a[0] " * 60, "x"]
    texts = [f"{text} {number}" for number, text in enumerate(odd * 3)][:20]
    query = "which [1] of <20>?"
    filler = PromptFiller(load_prompt(bundled_prompt("minilm_list")), str(tmp_path), None, None, 64)
    writer = PromptWriter(tokens, [pieces_of(tokenizer, text, 64) for text in texts])
    filled = filler.fill(query, texts, "seed")
    assert filled.tokens == writer.prompt(pieces_of(tokenizer, query, 32), range(20))
    assert filled.document_tokens == 64
    with pytest.raises(ValueError, match="up to 20 documents, not 21"):
        filler.fill(query, [*texts, "one more"], "seed")


@pytest.mark.parametrize("listed", [1, 3, 20])
def test_documents_above_threshold_are_listed_by_score_at_least_one(listed, initial_decoder, tokenization, material):
    decoder, dims, _ = initial_decoder
    for number in range(len(material.lists)):
        scores = scores_of(decoder, dims, material, number)
        ordered = scores.sort(descending=True).values
        threshold = float({1: ordered[0] + 5, 3: ordered[2:4].mean(), 20: ordered[-1] - 1}[listed])
        fit_scores(decoder, dims, tokenization[2].begin, 1.0, 0.0, threshold)
        answer = read_answer(generate(decoder, tokenization[0], material.prompt(number)), 20)
        assert answer.parse_status == "ok"
        assert count_is_close(len(answer.order), listed, ordered, threshold)
        assert_descending(scores, answer.order)


def test_code_is_detected_if_a_layer_norm_shifts_all_channels_equally():
    dims = StateDimensions.of(range(384))
    dense = torch.nn.Linear(384, MAX_DOCUMENTS + 2, bias=False)
    dense.requires_grad_(False).weight.zero_()
    for number in range(1, MAX_DOCUMENTS + 2):
        detect_code(dense, number, dims, number, dims.document, dims.answer, 1.0)
    for number, code in enumerate(CODES):
        for document, answer in ((True, False), (False, False), (False, True)):
            state = torch.full((384,), -1.0)
            state[dims.code], state[dims.one] = torch.tensor(code), 1.0
            state[dims.document], state[dims.answer] = (1.0 if on else -1.0 for on in (document, answer))
            outputs = dense(torch.stack([state - 0.9, state, state + 0.9]))
            torch.testing.assert_close(outputs[0], outputs[1])
            torch.testing.assert_close(outputs[2], outputs[1])
            expected = [number] if document and number else []
            assert (outputs[1] > 0).nonzero().flatten().tolist() == expected
            assert outputs[1][1:].abs().min() > 1.9


class Scripted:
    """A fake decoder that returns prepared answers in order, to test the statistics of known answers."""

    device = torch.device("cpu")

    def __init__(self, *answers):
        self.answers = list(answers)

    def generate(self, prompt, **_):
        """Append the next answer to the prompt."""
        return torch.cat([prompt, torch.tensor([self.answers.pop(0)])], 1)


def test_description_of_generated_answers(tokenization, material):
    tokenizer, _, tokens = tokenization
    targets = material.targets(0)
    best, second, third = targets.argsort(descending=True)[:3].tolist()
    answers = []
    for shuffle, shown in enumerate(([best, second], [second, best])):
        order = random.Random(f"{shuffle} 0").sample(range(20), 20)
        first, second_shown = (order.index(document) for document in shown)
        repeated = [tokens.later[second_shown]] if shuffle else []
        answers.append([tokens.first[first], tokens.later[second_shown], *repeated, tokens.end])
    description = describe_answers(Scripted(*answers), tokenizer, material, float(targets[third]) - 1e-4, 1)
    with_targets = 1 - 1 / (2 * (1 + 18 + 18))  # one of the answers swaps the best two
    between_shuffles = 36 / 37
    form = "1 of 2 answers well-formed, 2.0 documents listed (targets: 3.0)"
    agreement = f"{with_targets:.3f} with the targets, {between_shuffles:.3f} with another shuffle"
    assert description == f"{form}; ordered pairs agree {agreement}"


def count_is_close(count, listed, ordered, threshold):
    """Return whether `count` is `listed`, apart from documents whose scores are close to the threshold."""
    differ = ordered[min(count, listed) : max(count, listed)]
    return bool((differ - threshold).abs().le(CLOSE).all())


def assert_descending(scores, order, close=CLOSE):
    """Assert that scores descend in `order`. Close scores may be swapped, as identifiers differ a little in scale."""
    listed = [float(scores[position - 1]) for position in order]
    omitted = [float(score) for position, score in enumerate(scores, start=1) if position not in order]
    assert all(
        after < before + close
        for before, after in zip(listed, [*listed[1:], max(omitted, default=-100.0)], strict=True)
    )


def test_untrained_decoder_orders_most_pairs_by_cosine(initial_decoder, material):
    decoder, dims, _ = initial_decoder
    agreeing, pairs = 0, 0
    for number in range(len(material.lists)):
        scores, targets = scores_of(decoder, dims, material, number), material.targets(number)
        agreeing += int(((scores[:, None] - scores) * (targets[:, None] - targets) > 0).sum())
        pairs += len(scores) * (len(scores) - 1)
    assert agreeing / pairs > 0.6


def test_training_improves_scores_and_keeps_constructed_weights(
    initial_decoder, tokenization, material, tmp_path, monkeypatch
):
    decoder, dims, axes = initial_decoder
    for name, value in {"VALIDATION_LISTS": 2, "_PROMPTS_PER_STEP": 4}.items():
        monkeypatch.setattr(list_training, name, value)
    two = replace(
        material,
        lists=material.lists[:2] * 17,
        query_tokens=material.query_tokens[:2] * 17,
        queries=material.queries[:2].repeat(17, 1),
    )
    monkeypatch.setattr(list_training, "CALIBRATION_LISTS", 2)
    scaling = list_training.calibrate(decoder, dims, two)
    before = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    error = error_of(list_training.validate(decoder, dims, two, scaling))
    scaling = list_training.train(decoder, dims, axes, two, scaling, tmp_path / "checkpoint.pt", 13)
    assert error_of(list_training.validate(decoder, dims, two, scaling)) < 0.7 * error
    after = decoder.state_dict()
    layers = "model.decoder.layers."
    unchanged = [name for name, weight in after.items() if torch.equal(weight, before[name])]
    assert {name for name in after if name.startswith(f"{layers}7.")} <= set(unchanged)
    assert "model.decoder.embed_tokens.weight" in unchanged
    for name in (f"{layers}0.self_attn.q_proj.weight", f"{layers}5.fc1.weight"):
        assert name not in unchanged
        assert torch.equal(after[name][:, dims.channels], before[name][:, dims.channels])
    assert torch.equal(after[f"{layers}3.fc2.weight"][dims.channels], before[f"{layers}3.fc2.weight"][dims.channels])
    for number in range(len(material.lists)):
        scores = scores_of(decoder, dims, material, number)
        fit_scores(decoder, dims, tokenization[2].begin, 1.0, 0.0, float(scores.min()) - 1)
        answer = read_answer(generate(decoder, tokenization[0], material.prompt(number)), 20)
        assert answer.parse_status == "ok"
        assert len(answer.order) == 20
        assert_descending(scores, answer.order, 2 * CLOSE)


def error_of(description):
    """Extract the squared error from the text that `validate` returns."""
    return float(description.split()[2].rstrip(","))


def test_resumed_training_reaches_the_same_weights(initial_decoder, material, tmp_path, monkeypatch):
    decoder, dims, axes = initial_decoder
    for name, value in {"VALIDATION_LISTS": 1, "_CHECKPOINT_EVERY": 1, "_PROMPTS_PER_STEP": 2}.items():
        monkeypatch.setattr(list_training, name, value)
    start = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    scaling = list_training.train(decoder, dims, axes, material, (1.0, 0.0), tmp_path / "uninterrupted.pt", 13)
    uninterrupted = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    assert any((uninterrupted[name] != start[name]).any() for name in uninterrupted)

    save = list_training.TrainingState.save

    def save_and_interrupt(*args):
        save(*args)
        raise KeyboardInterrupt

    decoder.load_state_dict(start)
    monkeypatch.setattr(list_training.TrainingState, "save", save_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        list_training.train(decoder, dims, axes, material, (1.0, 0.0), tmp_path / "interrupted.pt", 13)
    monkeypatch.setattr(list_training.TrainingState, "save", save)
    decoder.load_state_dict(start)
    assert list_training.train(decoder, dims, axes, material, (1.0, 0.0), tmp_path / "interrupted.pt", 13) == scaling
    assert all(torch.equal(weight, uninterrupted[name]) for name, weight in decoder.state_dict().items())
    monkeypatch.setattr(list_training, "_PROMPTS_PER_STEP", 3)
    with pytest.raises(InputError, match="is from a run of 6 steps, not 4"):
        list_training.train(decoder, dims, axes, material, (1.0, 0.0), tmp_path / "interrupted.pt", 13)


def test_validation_passages_overlap_with_neither_training_nor_pydoc(monkeypatch):
    words = [f"word{number}" for number in range(400)]
    own = [Passage(str(start), " ".join(words[start : start + 10])) for start in range(0, 400, 10)]
    similar = [Passage("like", f"{passage.text} and more of it") for passage in own[:20]]
    question = next(query.text for query in read().test if len(query.text.split()) > 7)
    pydoc = [Passage("pydoc", f"{max(TEXTS, key=len)} more"), Passage("question", f"It asks, {question.upper()}")]
    validation, training = split_passages([*own, *similar, *pydoc], 13)
    assert validation
    assert len(training) == 48
    assert not overlapping([passage.text for passage in validation], [passage.text for passage in training])
    assert not {"pydoc", "question"} & {passage.title for passage in [*validation, *training]}


def test_stored_lists_with_other_parameters_are_refused(tokenization, tmp_path):
    (tmp_path / "lists.json").write_text('{"made": {"lists": 40, "passages": 1000, "seed": 13}}', encoding="utf-8")
    with pytest.raises(InputError, match=r"lists\.json was made with .*'lists': 40.*not with .*'lists': 50"):
        load_material(tmp_path, 50, 1000, 13, tokenization[0], tokenization[2])
