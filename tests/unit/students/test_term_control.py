"""The Term Control Layer: its inputs, its effect on [CLS], and its absence from the saved model."""

import pytest
import torch
from safetensors import safe_open
from transformers import AlbertConfig, AutoModelForSequenceClassification, AutoTokenizer, DistilBertConfig

from ranking.model_paths import model_path
from students import export, rra_bert
from students.batches import KEYS, SEGMENTS, pad, tokenize
from students.forward_passes import forward_pairs
from students.kinds import TrainingReader, unwrap, wrap_for_training
from students.scoring import Scorer
from students.student_settings import RraBertSettings
from students.term_control import TermGate, TermLayer
from students.token_selection import IGNORED, TokenKeys

PAIRS = [("merge sorted lists", "Merge several sorted inputs into one."), ("pause", "Wait for a while."), ("x", "")]
FORMS = ["layer", "gated"]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(model_path("minilm"))


def build(form, layer=-1):
    torch.manual_seed(0)
    settings = RraBertSettings(base="minilm", max_length=48, term_control={"form": form, "layer": layer})
    return settings, wrap_for_training(rra_bert.build(settings, model_path("minilm")), settings, "").eval()


def batch_of(tokenizer, pairs=PAIRS):
    return pad(tokenizer, tokenize(tokenizer, pairs, 48, TokenKeys(tokenizer)))


@pytest.mark.parametrize("form", FORMS)
def test_score_is_that_of_the_plain_student(form, tokenizer):
    settings, trained = build(form)
    with torch.no_grad():
        both = trained(batch_of(tokenizer))
        plain = forward_pairs(unwrap(trained), tokenizer, PAIRS, settings.max_length)
    assert both.shape == (3, 2)
    assert torch.allclose(both[:, 0], plain, atol=1e-4)
    if form == "layer":
        assert not torch.allclose(both[:, 0], both[:, 1], atol=1e-3)


def test_gate_changes_cls_only_if_tokens_are_selected(tokenizer):
    _, trained = build("gated")
    torch.nn.init.normal_(trained.control.project.weight, std=0.5)
    with torch.no_grad():
        both = trained(batch_of(tokenizer))
    assert (both[0, 0] - both[0, 1]).abs() > 1e-3  # both texts contain merge and sorted
    assert torch.allclose(both[1:, 0], both[1:, 1], atol=1e-4)  # no common tokens


def test_gate_matches_hand_computed_values():
    gate = TermGate(type("Config", (), {"hidden_size": 2}))
    with torch.no_grad():
        gate.gate.weight.zero_()
        gate.gate.bias.zero_()
        gate.project.weight.copy_(torch.eye(2))
        states = torch.tensor([[[1.0, 1.0], [2.0, 4.0], [4.0, 0.0], [9.0, 9.0]]])
        moved = gate(states, torch.tensor([[False, True, True, False]]))
    # The mean is (3, 2), and the gate is sigmoid(0) = 1/2.
    assert moved[0].tolist() == [[2.5, 2.0], [2.0, 4.0], [4.0, 0.0], [9.0, 9.0]]


def test_layer_reads_only_cls_and_selected_states():
    torch.manual_seed(1)
    layer = TermLayer(type("Config", (), {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16})).eval()
    states = torch.randn(2, 6, 8)
    selected = torch.tensor([[False, True, False, True, False, False], [False] * 6])
    with torch.no_grad():
        scores = layer(states, selected)
        others = states.masked_fill(~selected.unsqueeze(2), 7.0)
        others[:, 0] = states[:, 0]
        assert torch.allclose(layer(others, selected), scores, atol=1e-5)
        alone = layer(states[1:, :1], selected[1:, :1])
        assert torch.allclose(alone, scores[1:], atol=1e-5)
        changed = states.clone()
        changed[0, 3] += 1.0
        assert not torch.allclose(layer(changed, selected)[0], scores[0], atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_reaches_the_encoder_and_the_control_layer(form, tokenizer):
    _, trained = build(form)
    trained(batch_of(tokenizer))[:, 1].sum().backward()
    assert all(weights.grad is not None for weights in trained.control.parameters())
    assert trained.student.base.encoder.layer[-1].output.dense.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_saved_model_equals_one_trained_without_control_layer(form, tokenizer, tmp_path):
    settings, trained = build(form)
    torch.nn.init.normal_(trained.student.classifier.classifier.weight, std=0.5)
    plain = RraBertSettings(base="minilm", max_length=48)
    other = rra_bert.build(plain, model_path("minilm"))
    other.load_state_dict(trained.student.state_dict())
    export.save(unwrap(trained), tokenizer, settings, tmp_path / "with", PAIRS)
    export.save(other, tokenizer, plain, tmp_path / "without", PAIRS)
    for name in [path.name for path in (tmp_path / "without").glob("*.safetensors")]:
        with safe_open(tmp_path / "with" / name, "pt") as a, safe_open(tmp_path / "without" / name, "pt") as b:
            assert set(a.keys()) == set(b.keys())
    assert sorted(path.name for path in (tmp_path / "with").iterdir()) == sorted(
        path.name for path in (tmp_path / "without").iterdir()
    )
    for engine in ("torch", "onnx"):
        with_it, without = (Scorer(tmp_path / name, "fp32", engine).score(PAIRS) for name in ("with", "without"))
        assert with_it == without
        assert len(set(with_it)) == len(PAIRS)


def test_layer_form_can_read_an_earlier_layer_but_gate_cannot(tokenizer):
    _, last = build("layer")
    _, early = build("layer", layer=2)
    with torch.no_grad():
        assert not torch.allclose(last(batch_of(tokenizer))[:, 1], early(batch_of(tokenizer))[:, 1], atol=1e-3)
    with pytest.raises(ValueError, match="layer must be -1, not 2"):
        build("gated", layer=2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("config", [DistilBertConfig, AlbertConfig])
def test_works_with_distilbert_and_albert(config, form, tokenizer, tmp_path):
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "embedding_size": 16,
    }
    own = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64} if config is DistilBertConfig else sizes
    AutoModelForSequenceClassification.from_config(
        config(vocab_size=len(tokenizer), num_labels=1, **own)
    ).save_pretrained(tmp_path)
    settings = RraBertSettings(base=str(tmp_path), max_length=48, term_control={"form": form})
    trained = wrap_for_training(rra_bert.build(settings, str(tmp_path)), settings, "").eval()
    if form == "gated":
        torch.nn.init.normal_(trained.control.project.weight, std=0.5)
    batch = {name: values for name, values in batch_of(tokenizer).items() if name != "token_type_ids"}
    with torch.no_grad():
        both = trained(batch)
        assert torch.allclose(both[:, 0], unwrap(trained)(batch), atol=1e-5)
    assert (both[0, 0] - both[0, 1]).abs() > 1e-5
    if form == "gated":
        assert torch.allclose(both[1:, 0], both[1:, 1], atol=1e-5)  # no common tokens


def test_keys_and_segments_are_not_passed_to_the_encoder(tokenizer):
    batch = batch_of(tokenizer)
    assert {KEYS, SEGMENTS} < set(batch)
    assert build("layer")[1](batch).shape == (3, 2)


def test_training_reader_selects_tokens_in_the_language(tokenizer):
    settings, _ = build("gated")
    rows = {
        language: TrainingReader(settings, tokenizer, language=language).rows([("what die", "what die")], [])
        for language in ("english", "german")
    }
    ignored = {language: [key == IGNORED for key in row[KEYS]] for language, (row,) in rows.items()}
    assert ignored["english"] == [True, True, False, True, True, False, True]  # "what" is a stop word
    assert ignored["german"] == [True, False, True, True, False, True, True]  # "die" is a stop word
