"""The Term Control Layer: what it reads, what it changes, and that nothing of it is served."""

import pytest
import torch
from safetensors import safe_open
from transformers import AlbertConfig, AutoModelForSequenceClassification, AutoTokenizer, DistilBertConfig

from ranking.model_paths import model_path
from students import export, rra_bert
from students.batches import KEYS, SEGMENTS, pad, tokenize
from students.kinds import in_training, settled
from students.scoring import Scorer, forward_pairs
from students.settings import RraBertSettings
from students.term_control import TermGate, TermLayer
from students.token_selection import TokenKeys

PAIRS = [("merge sorted lists", "Merge several sorted inputs into one."), ("pause", "Wait for a while."), ("x", "")]
FORMS = ["layer", "gated"]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(model_path("minilm"))


def build(form, layer=-1):
    torch.manual_seed(0)
    settings = RraBertSettings(base="minilm", max_length=48, term_control={"form": form, "layer": layer})
    return settings, in_training(rra_bert.build(settings, model_path("minilm")), settings, "").eval()


def batch_of(tokenizer, pairs=PAIRS):
    return pad(tokenizer, tokenize(tokenizer, pairs, 48, TokenKeys(tokenizer)))


@pytest.mark.parametrize("form", FORMS)
def test_the_score_is_the_plain_students_and_the_term_score_another(form, tokenizer):
    settings, trained = build(form)
    with torch.no_grad():
        both = trained(batch_of(tokenizer))
        plain = forward_pairs(settled(trained), tokenizer, PAIRS, settings.max_length)
    assert both.shape == (3, 2)
    assert torch.allclose(both[:, 0], plain, atol=1e-4)
    if form == "layer":
        assert not torch.allclose(both[:, 0], both[:, 1], atol=1e-3)


def test_the_gate_moves_cls_only_where_something_is_selected(tokenizer):
    _, trained = build("gated")
    torch.nn.init.normal_(trained.control.project.weight, std=0.5)
    with torch.no_grad():
        both = trained(batch_of(tokenizer))
    assert (both[0, 0] - both[0, 1]).abs() > 1e-3  # merge and sorted stand in both
    assert torch.allclose(both[1:, 0], both[1:, 1], atol=1e-4)  # nothing is shared


def test_the_gate_by_hand():
    gate = TermGate(type("Config", (), {"hidden_size": 2}))
    with torch.no_grad():
        gate.gate.weight.zero_()
        gate.gate.bias.zero_()
        gate.project.weight.copy_(torch.eye(2))
        states = torch.tensor([[[1.0, 1.0], [2.0, 4.0], [4.0, 0.0], [9.0, 9.0]]])
        moved = gate(states, torch.tensor([[False, True, True, False]]))
    # the mean is (3, 2), and the open half of the gate lets half of it through
    assert moved[0].tolist() == [[2.5, 2.0], [2.0, 4.0], [4.0, 0.0], [9.0, 9.0]]


def test_the_layer_reads_cls_and_what_is_selected_and_nothing_else():
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
def test_its_gradient_reaches_the_encoder_and_its_weights(form, tokenizer):
    _, trained = build(form)
    trained(batch_of(tokenizer))[:, 1].sum().backward()
    assert all(weights.grad is not None for weights in trained.control.parameters())
    assert trained.student.base.encoder.layer[-1].output.dense.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_what_is_saved_has_no_trace_of_it_and_scores_as_one_that_never_had_it(form, tokenizer, tmp_path):
    settings, trained = build(form)
    torch.nn.init.normal_(trained.student.classifier.classifier.weight, std=0.5)
    plain = RraBertSettings(base="minilm", max_length=48)
    other = rra_bert.build(plain, model_path("minilm"))
    other.load_state_dict(trained.student.state_dict())
    export.save(settled(trained), tokenizer, settings, tmp_path / "with", PAIRS)
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


def test_states_of_an_earlier_layer_can_be_read_but_not_by_the_gate(tokenizer):
    _, last = build("layer")
    _, early = build("layer", layer=2)
    with torch.no_grad():
        assert not torch.allclose(last(batch_of(tokenizer))[:, 1], early(batch_of(tokenizer))[:, 1], atol=1e-3)
    with pytest.raises(ValueError, match="layer must be -1, not 2"):
        build("gated", layer=2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("config", [DistilBertConfig, AlbertConfig])
def test_encoders_whose_configuration_or_pooler_is_another_have_it_too(config, form, tokenizer, tmp_path):
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
    trained = in_training(rra_bert.build(settings, str(tmp_path)), settings, "").eval()
    if form == "gated":
        torch.nn.init.normal_(trained.control.project.weight, std=0.5)
    batch = {name: held for name, held in batch_of(tokenizer).items() if name != "token_type_ids"}
    with torch.no_grad():
        both = trained(batch)
        assert torch.allclose(both[:, 0], settled(trained)(batch), atol=1e-5)
    assert (both[0, 0] - both[0, 1]).abs() > 1e-5
    if form == "gated":
        assert torch.allclose(both[1:, 0], both[1:, 1], atol=1e-5)  # nothing is shared


def test_keys_and_segments_are_no_inputs_of_the_encoder(tokenizer):
    batch = batch_of(tokenizer)
    assert {KEYS, SEGMENTS} < set(batch)
    assert build("layer")[1](batch).shape == (3, 2)
