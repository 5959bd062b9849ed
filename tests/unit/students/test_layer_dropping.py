"""Layer dropping: which layers are kept, the saved configuration, and the checks of the settings."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
)

from ranking.errors import InputError
from ranking.model_paths import model_path
from students import export, kinds
from students.bases import check_base
from students.layer_dropping import check_layers, drop_layers, kept_layers
from students.onnx_file import NAME
from students.scoring import Scorer
from students.student_settings import RraBertSettings
from tools.tiny_models import tiny_deberta, tiny_modern_bert, tiny_xlm_roberta

PAIRS = [("merge sorted lists", "Merge multiple sorted inputs."), ("join paths", "Join two pathname components.")]


def bert(layers, **settings):
    """Return a small BERT classifier with random weights."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}
    return BertForSequenceClassification(BertConfig(num_hidden_layers=layers, num_labels=1, **sizes, **settings)).eval()


@pytest.mark.parametrize(
    ("total", "count", "kept"),
    [
        (7, 6, [0, 1, 2, 4, 5, 6]),
        (7, 4, [0, 2, 4, 6]),
        (7, 3, [0, 3, 6]),
        (7, 2, [0, 6]),
        (12, 6, [0, 2, 4, 7, 9, 11]),
        (6, 3, [0, 3, 5]),
    ],
)
def test_kept_layers_are_evenly_spaced(total, count, kept):
    assert kept_layers(total, count) == kept


@given(st.integers(2, 60).flatmap(lambda total: st.tuples(st.just(total), st.integers(2, total))))
def test_kept_layers_are_distinct_and_include_both_ends(sizes):
    total, count = sizes
    kept = kept_layers(total, count)
    assert len(set(kept)) == count
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, total - 1)


def test_smaller_model_equals_the_base_without_the_dropped_layers():
    model = bert(5)
    smaller = drop_layers(model, 3)
    model.bert.encoder.layer = torch.nn.ModuleList([model.bert.encoder.layer[layer] for layer in (0, 2, 4)])
    inputs = {"input_ids": torch.tensor([[2, 7, 9, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    assert torch.equal(smaller(**inputs).logits, model(**inputs).logits)
    assert smaller.config.num_hidden_layers == 3
    assert not smaller.training


def test_all_layers_keep_the_model_unchanged():
    model = bert(3)
    assert drop_layers(model, 3) is model


def test_distilbert_keeps_its_name_for_the_number_of_layers(tmp_path):
    config = DistilBertConfig(dim=32, n_heads=2, hidden_dim=32, n_layers=4, vocab_size=50, num_labels=1)
    drop_layers(AutoModelForSequenceClassification.from_config(config), 2).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["n_layers"] == 2


@pytest.mark.parametrize("write", [tiny_xlm_roberta, tiny_deberta, tiny_modern_bert])
def test_other_architectures_reload_without_missing_weights(write, tmp_path):
    base = write(tmp_path / "base")
    config = AutoConfig.from_pretrained(base)
    config.num_hidden_layers = 4
    if getattr(config, "layer_types", None):
        config.layer_types = ["full_attention", "sliding_attention", "sliding_attention", "sliding_attention"]
    AutoModelForSequenceClassification.from_config(config).save_pretrained(base)
    student = kinds.build(RraBertSettings(base=str(base), layers=2), str(base))
    student.classifier.save_pretrained(tmp_path / "saved")
    saved, info = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert saved.config.num_hidden_layers == 2
    if getattr(config, "layer_types", None):
        assert saved.config.layer_types == ["full_attention", "sliding_attention"]


def test_architecture_with_shared_layers_is_rejected():
    config = AlbertConfig(
        hidden_size=32, num_attention_heads=2, intermediate_size=32, vocab_size=50, num_hidden_layers=3
    )
    with pytest.raises(InputError, match="here: layers cannot be dropped from model type albert; remove layers"):
        check_layers(AutoModelForSequenceClassification.from_config(config), 2, "here")


def test_more_layers_than_the_base_has_are_an_error():
    with pytest.raises(InputError) as error:
        check_base(model_path("minilm-cross"), RraBertSettings(name="s", layers=8))
    assert str(error.value) == ("student s: base 'minilm-cross': layers 8 exceeds the base's 7 layers; choose 2 to 7")
    check_base(model_path("minilm-cross"), RraBertSettings(layers=7))


def test_term_control_layer_must_be_one_of_the_kept_layers():
    def check(layer):
        control = {"form": "layer", "layer": layer}
        check_base(model_path("minilm-cross"), RraBertSettings(layers=3, term_control=control))

    for layer in (-4, -1, 0, 3):
        check(layer)
    for layer in (-5, 4):
        with pytest.raises(InputError, match=rf"term_control\.layer {layer} does not exist; choose 0 .* to 3, or -1"):
            check(layer)


def test_exported_student_has_its_number_of_layers_in_every_format(tmp_path):
    settings = RraBertSettings(layers=2, max_length=32)
    path = model_path(settings.base)
    student = kinds.build(settings, path).eval()
    export.save(student, kinds.tokenizer_of(settings, path), settings, tmp_path / "model", PAIRS)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert loaded.config.num_hidden_layers == len(loaded.bert.encoder.layer) == 2
    scores = Scorer(tmp_path / "model", "fp32", "torch").score(PAIRS)
    assert (tmp_path / "model" / NAME).is_file()
    assert Scorer(tmp_path / "model", "fp32", "onnx").score(PAIRS) == pytest.approx(scores, abs=1e-4)
    base = AutoModelForSequenceClassification.from_pretrained(path)
    assert torch.equal(loaded.bert.encoder.layer[1].output.dense.weight, base.bert.encoder.layer[6].output.dense.weight)
