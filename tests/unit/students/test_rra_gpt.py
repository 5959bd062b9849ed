"""RRA-GPT: its prompt in the tokenizer, its side tasks behind the prompt, and a saved model that scores as the one in memory."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from students import export, kinds, rra_gpt
from students.batches import SEGMENTS, SIDES, pad
from students.pair_templates import PARTS
from students.rra_gpt import LABEL, RATIONALE, AuxiliaryTargets, side_costs
from students.scoring import ClassifierScorer, Scorer, forward_pairs, forward_rows
from students.settings import LoraSettings, RraGptSettings
from tools.tiny_models import tiny_generator

PAIRS = [
    ("merge sorted lists", "Merge several sorted inputs."),
    ("pause", "time.sleep " * 200),
    ("x", ""),
    ("wait", "Wait [3] > [1]."),
]
TOLD = [
    AuxiliaryTargets(True, "It merges sorted inputs."),
    AuxiliaryTargets(False),
    AuxiliaryTargets(False, "It is empty."),
    AuxiliaryTargets(True),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tiny_generator(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def settings(base):
    return RraGptSettings(base=base, max_length=128, max_rationale_tokens=20)


@pytest.fixture
def student(settings, base):
    torch.manual_seed(1)
    made = kinds.build(settings, base).eval()
    torch.nn.init.normal_(made.classifier.score.weight, std=0.5)
    return made


@pytest.fixture(scope="module")
def tokenizer(settings, base):
    return kinds.tokenizer_of(settings, base)


def test_the_tokenizer_writes_the_prompt_and_never_cuts_it(tokenizer):
    assert (
        tokenizer.decode(tokenizer(*PAIRS[0])["input_ids"])
        == f"{PARTS[0]}merge sorted lists{PARTS[1]}Merge several sorted inputs.{PARTS[2]}"
    )
    cut = tokenizer(*PAIRS[1], truncation="longest_first", max_length=60)["input_ids"]
    assert len(cut) == 60
    assert tokenizer.decode(cut).startswith(f"{PARTS[0]}pause{PARTS[1]}time.sleep")
    assert tokenizer.decode(cut).endswith(PARTS[2])


def test_side_tasks_stand_behind_the_prompt_and_a_long_reason_is_cut(settings, tokenizer):
    rows = kinds.TrainingReader(settings, tokenizer).rows(PAIRS, TOLD)
    for row, pair, told in zip(rows, PAIRS, TOLD, strict=True):
        prompt = [token for token, side in zip(row["input_ids"], row[SIDES], strict=True) if not side]
        assert prompt == tokenizer(*pair, truncation="longest_first", max_length=128)["input_ids"]
        told_of = {
            side: [t for t, s in zip(row["input_ids"], row[SIDES], strict=True) if s == side]
            for side in (LABEL, RATIONALE)
        }
        assert tokenizer.decode(told_of[LABEL]) == (" yes" if told.relevant else " no")
        if told.rationale is None:
            assert told_of[RATIONALE] == []
        else:
            whole = [*tokenizer.encode(f"\n{told.rationale}", add_special_tokens=False), tokenizer.eos_token_id]
            assert told_of[RATIONALE] == whole[:20]
    batch = pad(tokenizer, rows)
    assert not batch[SEGMENTS][batch[SIDES] > 0].any()


def test_side_tasks_that_are_not_learned_are_not_read(settings, student, tokenizer, base):
    plain = settings.model_copy(update={"label_weight": 0.0, "rationale_weight": 0.0})
    rows = kinds.TrainingReader(plain, tokenizer).rows(PAIRS, TOLD)
    assert [len(row["input_ids"]) for row in rows] == [
        len(tokenizer(*pair, truncation=True, max_length=128)["input_ids"]) for pair in PAIRS
    ]
    columns = forward_rows(kinds.in_training(student, plain, base).eval(), tokenizer, rows)
    assert torch.allclose(columns[:, 0], forward_pairs(student, tokenizer, PAIRS, settings.max_length), atol=1e-4)
    no_reasons = kinds.TrainingReader(settings.model_copy(update={"rationale_weight": 0.0}), tokenizer).rows(
        PAIRS, TOLD
    )
    assert {side for row in no_reasons for side in row[SIDES]} == {0, LABEL}


def test_the_score_in_training_is_the_one_that_is_served_whatever_is_told(settings, student, tokenizer, base):
    trained = kinds.in_training(student, settings, base).eval()
    served = forward_pairs(student, tokenizer, PAIRS, settings.max_length)
    for told in (TOLD, [AuxiliaryTargets(True, "Something else entirely.")] * 4):
        columns = forward_rows(trained, tokenizer, kinds.TrainingReader(settings, tokenizer).rows(PAIRS, told))
        assert columns.shape == (4, 3)
        assert torch.allclose(columns[:, 0], served, atol=1e-4)
    assert len({round(score, 3) for score in served.tolist()}) == 4


def test_side_costs_are_those_of_the_base_as_a_language_model(settings, student, tokenizer, base):
    from transformers import AutoModelForCausalLM

    trained = kinds.in_training(student, settings, base).eval()
    rows = kinds.TrainingReader(settings, tokenizer).rows(PAIRS, TOLD)
    columns = forward_rows(trained, tokenizer, rows)
    causal = AutoModelForCausalLM.from_pretrained(base).eval()
    for row, (_, label, rationale) in zip(rows, columns.tolist(), strict=True):
        for side, cost in ((LABEL, label), (RATIONALE, rationale)):
            targets = torch.tensor(
                [[t if s == side else -100 for t, s in zip(row["input_ids"], row[SIDES], strict=True)]]
            )
            if (targets == -100).all():
                assert cost != cost
            else:
                assert cost == pytest.approx(
                    causal(input_ids=torch.tensor([row["input_ids"]]), labels=targets).loss.item(), abs=1e-4
                )


def test_pairs_without_a_reason_cost_nothing_and_give_no_nan():
    nan = float("nan")
    columns = torch.tensor([[2.0, nan], [4.0, 6.0], [nan, nan]], requires_grad=True)
    cost = side_costs(columns, 0.5, 0.25)
    assert cost.item() == pytest.approx(0.5 * 3.0 + 0.25 * 6.0)
    cost.backward()
    assert columns.grad.tolist() == [[0.25, 0.0], [0.25, 0.25], [0.0, 0.0]]
    assert side_costs(columns, 0.0, 0.0).item() == 0.0
    assert side_costs(torch.full((2, 2), nan), 1.0, 1.0).item() == 0.0


def test_gradients_are_numbers_where_some_have_no_reason(settings, student, tokenizer, base):
    trained = kinds.in_training(student, settings, base)
    columns = forward_rows(trained, tokenizer, kinds.TrainingReader(settings, tokenizer).rows(PAIRS, TOLD))
    (columns[:, 0].sum() + side_costs(columns[:, 1:], 0.5, 0.5)).backward()
    assert all(torch.isfinite(weights.grad).all() for weights in trained.parameters() if weights.grad is not None)
    assert student.classifier.score.weight.grad.abs().sum() > 0


def test_saved_it_scores_the_same_in_three_libraries(settings, student, tokenizer, base, tmp_path):
    from sentence_transformers import CrossEncoder

    folder = tmp_path / "model"
    trained = kinds.in_training(student, settings, base)
    export.save(kinds.settled(trained), tokenizer, settings, folder, PAIRS)
    ours = Scorer(folder, "fp32").score(PAIRS)
    assert [Scorer(folder, "fp32").score([pair])[0] for pair in PAIRS] == pytest.approx(ours, abs=1e-4)
    read, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
    )
    queries, documents = zip(*PAIRS, strict=True)
    inputs = read(
        list(queries), list(documents), truncation="longest_first", max_length=128, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        assert model(**inputs).logits[:, 0].tolist() == pytest.approx(ours, abs=1e-4)
    theirs = CrossEncoder(str(folder), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert ours == pytest.approx(theirs.tolist(), abs=1e-4)


def test_in_bf16_positions_turn_as_they_do_in_training(settings, student, base):
    lowered = rra_gpt.build(settings, base)
    lowered.lower(torch.bfloat16)
    frequencies = {name: held for name, held in lowered.named_buffers() if name.endswith("inv_freq")}
    assert frequencies
    for name, held in frequencies.items():
        assert held.dtype == torch.float32
        assert torch.equal(held, dict(student.named_buffers())[name])
    assert {weights.dtype for weights in lowered.base.parameters()} == {torch.bfloat16}


def test_all_scores_are_equal_before_the_first_step(settings, tokenizer, base):
    fresh = kinds.build(settings, base).eval()
    assert forward_pairs(fresh, tokenizer, PAIRS, 128).tolist() == [0.0] * 4


def test_adapters_learn_alone_and_are_merged_into_what_is_saved(settings, student, tokenizer, base, tmp_path):
    adapted = settings.model_copy(update={"lora": LoraSettings(rank=4)})
    before = {name: weights.clone() for name, weights in student.state_dict().items()}
    trained = kinds.in_training(student, adapted, base)
    learning = [name for name, weights in trained.named_parameters() if weights.requires_grad]
    assert all("lora_" in name or name == "student.classifier.score.weight" for name in learning)
    assert len(learning) == 2 * 2 * 7 + 1
    rows = kinds.TrainingReader(adapted, tokenizer).rows(PAIRS, TOLD)
    optimizer = torch.optim.AdamW([weights for weights in trained.parameters() if weights.requires_grad], lr=1e-2)
    for _ in range(3):
        columns = forward_rows(trained, tokenizer, rows)
        (columns[:, 0].sum() + side_costs(columns[:, 1:], 0.5, 0.5)).backward()
        optimizer.step()
        optimizer.zero_grad()
    unmerged = forward_rows(trained.eval(), tokenizer, rows)[:, 0].tolist()
    state = trained.state_dict()
    again = kinds.in_training(kinds.build(adapted, base), adapted, base)
    again.load_state_dict(state)
    merged = kinds.settled(again).eval()
    assert set(merged.state_dict()) == set(before)
    assert any(
        not torch.equal(before[name], weights) for name, weights in merged.state_dict().items() if "proj" in name
    )
    export.save(merged, tokenizer, adapted, tmp_path / "model", PAIRS)
    assert Scorer(tmp_path / "model", "fp32").score(PAIRS) == pytest.approx(unmerged, abs=1e-4)


@pytest.mark.parametrize("named", [None, 7])
def test_a_base_whose_configuration_names_no_pad_token_or_another(named, base, settings, tokenizer, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"pad_token_id": named}))
    torch.manual_seed(1)
    made = kinds.build(settings, str(tmp_path / "base")).eval()
    torch.nn.init.normal_(made.classifier.score.weight, std=0.5)
    export.save(made, tokenizer, settings, tmp_path / "model", PAIRS)
    alone = [Scorer(tmp_path / "model", "fp32").score([pair])[0] for pair in PAIRS]
    ids = [
        tokenizer(*pair, truncation="longest_first", max_length=settings.max_length, return_tensors="pt")["input_ids"]
        for pair in PAIRS
    ]
    with torch.inference_mode():
        states = [made.classifier.base_model(held).last_hidden_state[0, -1] for held in ids]
        expected = [made.classifier.score(state).item() for state in states]
    assert alone == pytest.approx(expected, abs=1e-4)
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(saved | {"pad_token_id": named}))
    assert ClassifierScorer(str(tmp_path / "model"), settings.max_length, "fp32").score(PAIRS) == pytest.approx(
        expected, abs=1e-4
    )
