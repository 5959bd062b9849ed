"""RRA-GPT: the tokenized prompt, auxiliary tasks, adapters, and the same scores after saving and loading."""

import json
import math
import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from students import export, kinds, rra_gpt
from students.batches import SEGMENTS, TASKS, pad
from students.forward_passes import forward_pairs, forward_rows
from students.pair_templates import PARTS
from students.rra_gpt import LABEL, RATIONALE, AuxiliaryTargets, auxiliary_loss
from students.scoring import ClassifierScorer, Scorer
from students.student_settings import LoraSettings, RraGptSettings
from tools.tiny_models import tiny_generator

PAIRS = [
    ("merge sorted lists", "Merge several sorted inputs."),
    ("pause", "time.sleep " * 200),
    ("x", ""),
    ("wait", "Wait [3] > [1]."),
]
TARGETS = [
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
    student = kinds.build(settings, base).eval()
    torch.nn.init.normal_(student.classifier.score.weight, std=0.5)
    return student


@pytest.fixture(scope="module")
def tokenizer(settings, base):
    return kinds.tokenizer_of(settings, base)


def test_tokenizer_builds_the_prompt_and_never_truncates_it(tokenizer):
    assert (
        tokenizer.decode(tokenizer(*PAIRS[0])["input_ids"])
        == f"{PARTS[0]}merge sorted lists{PARTS[1]}Merge several sorted inputs.{PARTS[2]}"
    )
    truncated = tokenizer(*PAIRS[1], truncation="longest_first", max_length=60)["input_ids"]
    assert len(truncated) == 60
    assert tokenizer.decode(truncated).startswith(f"{PARTS[0]}pause{PARTS[1]}time.sleep")
    assert tokenizer.decode(truncated).endswith(PARTS[2])


def test_auxiliary_targets_follow_the_prompt_and_are_truncated(settings, tokenizer):
    rows = kinds.TrainingReader(settings, tokenizer).rows(PAIRS, TARGETS)
    for row, pair, target in zip(rows, PAIRS, TARGETS, strict=True):
        prompt = [token for token, task in zip(row["input_ids"], row[TASKS], strict=True) if not task]
        assert prompt == tokenizer(*pair, truncation="longest_first", max_length=128)["input_ids"]
        by_task = {
            task: [token for token, other in zip(row["input_ids"], row[TASKS], strict=True) if other == task]
            for task in (LABEL, RATIONALE)
        }
        assert tokenizer.decode(by_task[LABEL]) == (" yes" if target.relevant else " no")
        if target.rationale is None:
            assert by_task[RATIONALE] == []
        else:
            whole = [*tokenizer.encode(f"\n{target.rationale}", add_special_tokens=False), tokenizer.eos_token_id]
            assert by_task[RATIONALE] == whole[:20]
    batch = pad(tokenizer, rows)
    assert not batch[SEGMENTS][batch[TASKS] > 0].any()


def test_auxiliary_tasks_with_weight_zero_are_not_tokenized(settings, student, tokenizer, base):
    plain = settings.model_copy(update={"label_weight": 0.0, "rationale_weight": 0.0})
    rows = kinds.TrainingReader(plain, tokenizer).rows(PAIRS, TARGETS)
    assert [len(row["input_ids"]) for row in rows] == [
        len(tokenizer(*pair, truncation=True, max_length=128)["input_ids"]) for pair in PAIRS
    ]
    columns = forward_rows(kinds.wrap_for_training(student, plain, base).eval(), tokenizer, rows)
    assert torch.allclose(columns[:, 0], forward_pairs(student, tokenizer, PAIRS, settings.max_length), atol=1e-4)
    no_rationales = kinds.TrainingReader(settings.model_copy(update={"rationale_weight": 0.0}), tokenizer).rows(
        PAIRS, TARGETS
    )
    assert {task for row in no_rationales for task in row[TASKS]} == {0, LABEL}


def test_auxiliary_targets_do_not_change_the_score(settings, student, tokenizer, base):
    trained = kinds.wrap_for_training(student, settings, base).eval()
    served = forward_pairs(student, tokenizer, PAIRS, settings.max_length)
    for targets in (TARGETS, [AuxiliaryTargets(True, "Something else entirely.")] * 4):
        columns = forward_rows(trained, tokenizer, kinds.TrainingReader(settings, tokenizer).rows(PAIRS, targets))
        assert columns.shape == (4, 3)
        assert torch.allclose(columns[:, 0], served, atol=1e-4)
    assert len({round(score, 3) for score in served.tolist()}) == 4


def test_auxiliary_losses_match_the_base_as_a_language_model(settings, student, tokenizer, base):
    from transformers import AutoModelForCausalLM

    trained = kinds.wrap_for_training(student, settings, base).eval()
    rows = kinds.TrainingReader(settings, tokenizer).rows(PAIRS, TARGETS)
    columns = forward_rows(trained, tokenizer, rows)
    causal = AutoModelForCausalLM.from_pretrained(base).eval()
    for row, (_, label, rationale) in zip(rows, columns.tolist(), strict=True):
        for task, loss in ((LABEL, label), (RATIONALE, rationale)):
            targets = torch.tensor(
                [[token if t == task else -100 for token, t in zip(row["input_ids"], row[TASKS], strict=True)]]
            )
            if (targets == -100).all():
                assert math.isnan(loss)
            else:
                assert loss == pytest.approx(
                    causal(input_ids=torch.tensor([row["input_ids"]]), labels=targets).loss.item(), abs=1e-4
                )


def test_pairs_without_a_rationale_add_zero_without_nan():
    nan = float("nan")
    columns = torch.tensor([[2.0, nan], [4.0, 6.0], [nan, nan]], requires_grad=True)
    loss = auxiliary_loss(columns, 0.5, 0.25)
    assert loss.item() == pytest.approx(0.5 * 3.0 + 0.25 * 6.0)
    loss.backward()
    assert columns.grad.tolist() == [[0.25, 0.0], [0.25, 0.25], [0.0, 0.0]]
    assert auxiliary_loss(columns, 0.0, 0.0).item() == 0.0
    assert auxiliary_loss(torch.full((2, 2), nan), 1.0, 1.0).item() == 0.0


def test_gradients_are_finite_if_some_pairs_have_no_rationale(settings, student, tokenizer, base):
    trained = kinds.wrap_for_training(student, settings, base)
    columns = forward_rows(trained, tokenizer, kinds.TrainingReader(settings, tokenizer).rows(PAIRS, TARGETS))
    (columns[:, 0].sum() + auxiliary_loss(columns[:, 1:], 0.5, 0.5)).backward()
    assert all(torch.isfinite(weights.grad).all() for weights in trained.parameters() if weights.grad is not None)
    assert student.classifier.score.weight.grad.abs().sum() > 0


def test_saved_model_gives_the_same_scores_in_three_libraries(settings, student, tokenizer, base, tmp_path):
    from sentence_transformers import CrossEncoder

    folder = tmp_path / "model"
    trained = kinds.wrap_for_training(student, settings, base)
    export.save(kinds.unwrap(trained), tokenizer, settings, folder, PAIRS)
    ours = Scorer(folder, "fp32").score(PAIRS)
    assert [Scorer(folder, "fp32").score([pair])[0] for pair in PAIRS] == pytest.approx(ours, abs=1e-4)
    loaded = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    queries, documents = zip(*PAIRS, strict=True)
    inputs = loaded(
        list(queries), list(documents), truncation="longest_first", max_length=128, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        assert model(**inputs).logits[:, 0].tolist() == pytest.approx(ours, abs=1e-4)
    theirs = CrossEncoder(str(folder), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert ours == pytest.approx(theirs.tolist(), abs=1e-4)


def test_rotary_frequencies_stay_in_float32_in_bf16(settings, student, base):
    in_bf16 = rra_gpt.build(settings, base)
    in_bf16.cast_base(torch.bfloat16)
    frequencies = {name: values for name, values in in_bf16.named_buffers() if name.endswith("inv_freq")}
    assert frequencies
    for name, values in frequencies.items():
        assert values.dtype == torch.float32
        assert torch.equal(values, dict(student.named_buffers())[name])
    assert {weights.dtype for weights in in_bf16.base.parameters()} == {torch.bfloat16}


def test_scores_are_zero_before_the_first_step(settings, tokenizer, base):
    fresh = kinds.build(settings, base).eval()
    assert forward_pairs(fresh, tokenizer, PAIRS, 128).tolist() == [0.0] * 4


def test_only_adapters_are_trained_and_merged_before_saving(settings, student, tokenizer, base, tmp_path):
    adapted = settings.model_copy(update={"lora": LoraSettings(rank=4)})
    before = {name: weights.clone() for name, weights in student.state_dict().items()}
    trained = kinds.wrap_for_training(student, adapted, base)
    trainable = [name for name, weights in trained.named_parameters() if weights.requires_grad]
    assert all("lora_" in name or name == "student.classifier.score.weight" for name in trainable)
    assert len(trainable) == 2 * 2 * 7 + 1
    rows = kinds.TrainingReader(adapted, tokenizer).rows(PAIRS, TARGETS)
    optimizer = torch.optim.AdamW([weights for weights in trained.parameters() if weights.requires_grad], lr=1e-2)
    for _ in range(3):
        columns = forward_rows(trained, tokenizer, rows)
        (columns[:, 0].sum() + auxiliary_loss(columns[:, 1:], 0.5, 0.5)).backward()
        optimizer.step()
        optimizer.zero_grad()
    unmerged = forward_rows(trained.eval(), tokenizer, rows)[:, 0].tolist()
    state = trained.state_dict()
    again = kinds.wrap_for_training(kinds.build(adapted, base), adapted, base)
    again.load_state_dict(state)
    merged = kinds.unwrap(again).eval()
    assert set(merged.state_dict()) == set(before)
    assert any(
        not torch.equal(before[name], weights) for name, weights in merged.state_dict().items() if "proj" in name
    )
    export.save(merged, tokenizer, adapted, tmp_path / "model", PAIRS)
    assert Scorer(tmp_path / "model", "fp32").score(PAIRS) == pytest.approx(unmerged, abs=1e-4)


@pytest.mark.parametrize("pad_token_id", [None, 7])
def test_pad_token_of_the_tokenizer_overrides_the_configuration(pad_token_id, base, settings, tokenizer, tmp_path):
    shutil.copytree(base, tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    (tmp_path / "base" / "config.json").write_text(json.dumps(config | {"pad_token_id": pad_token_id}))
    torch.manual_seed(1)
    student = kinds.build(settings, str(tmp_path / "base")).eval()
    torch.nn.init.normal_(student.classifier.score.weight, std=0.5)
    export.save(student, tokenizer, settings, tmp_path / "model", PAIRS)
    alone = [Scorer(tmp_path / "model", "fp32").score([pair])[0] for pair in PAIRS]
    ids = [
        tokenizer(*pair, truncation="longest_first", max_length=settings.max_length, return_tensors="pt")["input_ids"]
        for pair in PAIRS
    ]
    with torch.inference_mode():
        states = [student.classifier.base_model(tokens).last_hidden_state[0, -1] for tokens in ids]
        expected = [student.classifier.score(state).item() for state in states]
    assert alone == pytest.approx(expected, abs=1e-4)
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(saved | {"pad_token_id": pad_token_id}))
    assert ClassifierScorer(str(tmp_path / "model"), settings.max_length, "fp32").score(PAIRS) == pytest.approx(
        expected, abs=1e-4
    )
