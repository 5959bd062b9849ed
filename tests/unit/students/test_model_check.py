"""Models that are incomplete or do not fit their role are refused in one line, before anything loads them."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen3ForSequenceClassification,
)

from ranking.errors import InputError
from students.bases import check_base
from students.input_limits import max_input_tokens
from students.model_check import check_sentence_encoder, check_vllm_model, checked_model
from students.student_settings import RraBertSettings
from tools.tiny_models import tiny_bert, tiny_generator, tiny_xlm_roberta

LANGUAGE_MODEL = "is a language model (Qwen3ForCausalLM)"
NO_ENCODER = "is a model with a classification head (BertForSequenceClassification) and has no embeddings of texts"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write one tiny model of each shape, and return its folder by name."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "encoder": tiny_bert(folder / "encoder"),
        "one label": tiny_bert(folder / "one", ["relevant"]),
        "two labels": tiny_bert(folder / "two", ["irrelevant", "relevant"]),
        "generator": tiny_generator(folder / "generator"),
    }


@pytest.fixture
def copy(models, tmp_path):
    """Return a function that copies a tiny model to a folder that a test may change."""
    return lambda name: shutil.copytree(models[name], tmp_path / name)


def change_json(folder, name="config.json", **values):
    """Change values in a JSON file of a model."""
    content = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    (folder / name).write_text(json.dumps(content | values))


def change_tensors(folder, change):
    """Write the tensors of a model again, as `change` returns them."""
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})


CHECKS = {
    "score": lambda model: check_vllm_model(model, None, "teacher.model", "score", advice="use form: yes_no"),
    "yes_no": lambda model: check_vllm_model(model, None, "teacher.model", "generate", chat=True, words=("no", "yes")),
    "listwise": lambda model: check_vllm_model(model, None, "teacher.model", "generate", chat=True),
    "embed": lambda model: check_vllm_model(model, None, "teacher.model", "embed"),
    "encoder": lambda model: check_sentence_encoder(model, None, "pre_ranker.model"),
    "base": lambda model: check_base(model, RraBertSettings(base=model, max_length=32)),
    "evaluation": lambda model: checked_model(model, None, f"model {model!r}", "score"),
}
FITTING = {
    "score": "one label",
    "yes_no": "generator",
    "listwise": "generator",
    "embed": "encoder",
    "encoder": "encoder",
    "base": "encoder",
    "evaluation": "one label",
}


def error_of(role, folder):
    """Return the one-line error of a role's check."""
    with pytest.raises(InputError) as raised:
        CHECKS[role](str(folder))
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("role", CHECKS)
def test_a_fitting_model_passes_in_each_role(role, models):
    CHECKS[role](str(models[FITTING[role]]))


@pytest.mark.parametrize(
    ("role", "model", "message"),
    [
        ("score", "two labels", "has 2 labels (irrelevant, relevant), and it is unknown which of them means relevant"),
        ("evaluation", "two labels", "has 2 labels (irrelevant, relevant)"),
        ("score", "generator", f"{LANGUAGE_MODEL} without a classification head"),
        ("score", "generator", "use form: yes_no"),
        ("evaluation", "generator", "choose a cross-encoder with one label"),
        ("score", "encoder", "has no classification head (BertModel), so its scores would be random"),
        ("evaluation", "encoder", "has no classification head (BertModel)"),
        ("yes_no", "one label", "is not a language model (BertForSequenceClassification)"),
        ("listwise", "encoder", "is not a language model (BertModel)"),
        ("embed", "one label", NO_ENCODER),
        ("encoder", "two labels", NO_ENCODER),
        ("embed", "generator", f"{LANGUAGE_MODEL} without pooling"),
        ("base", "generator", "qwen3 is a decoder; choose an encoder, or kind: rra_gpt"),
    ],
)
def test_a_model_of_another_shape_is_refused(role, model, message, models):
    assert message in error_of(role, models[model])


@pytest.mark.parametrize("role", CHECKS)
def test_an_adapter_is_refused_in_each_role(role, copy):
    folder = copy(FITTING[role])
    change_json(folder, "adapter_config.json", base_model_name_or_path="Qwen/Qwen3-0.6B")
    message = error_of(role, folder)
    assert "is a LoRA or PEFT adapter of Qwen/Qwen3-0.6B (adapter_config.json)" in message
    assert "merge it into its base" in message


@pytest.mark.parametrize("role", CHECKS)
def test_a_git_lfs_pointer_is_refused_in_each_role(role, copy):
    folder = copy(FITTING[role])
    (folder / "model.safetensors").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\n")
    assert "model.safetensors is a Git LFS pointer instead of the file; run `git lfs pull`" in error_of(role, folder)


@pytest.mark.parametrize("role", CHECKS)
def test_truncated_weights_are_refused_in_each_role(role, copy):
    folder = copy(FITTING[role])
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert f"model.safetensors is cut short ({len(whole) - 1:,} of {len(whole):,} bytes)" in error_of(role, folder)
    weights.write_bytes(whole[:100])
    assert "model.safetensors is cut short or is not a safetensors file (100 bytes)" in error_of(role, folder)


@pytest.mark.parametrize("role", CHECKS)
def test_missing_weights_are_refused_in_each_role(role, copy):
    folder = copy(FITTING[role])
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"PK")
    assert "the folder has no weights, such as model.safetensors" in error_of(role, folder)


@pytest.mark.parametrize("role", CHECKS)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_custom_code_is_refused_without_a_question(role, file, copy, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked a question on stdin"))
    folder = copy(FITTING[role])
    change_json(folder, file, auto_map={"AutoModel": "modeling_own.OwnModel", "AutoTokenizer": [None, "own.OwnModel"]})
    assert "needs its own code (OwnModel), which is never run" in error_of(role, folder)


def test_code_that_is_part_of_transformers_by_now_is_accepted(copy):
    folder = copy("generator")
    change_json(folder, auto_map={"AutoModelForCausalLM": "modeling_qwen3.Qwen3ForCausalLM"})
    CHECKS["listwise"](str(folder))


def test_custom_modules_of_a_sentence_encoder_are_refused(copy):
    folder = copy("encoder")
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "own.Transformer"}]))
    assert "needs its own code (own.Transformer)" in error_of("encoder", folder)


def test_shards_that_the_index_names_must_exist(copy):
    folder = copy("encoder")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    change_json(folder, "model.safetensors.index.json", weight_map=shards)
    assert "model-00002-of-00002.safetensors is missing" in error_of("encoder", folder)
    change_json(folder, "model.safetensors.index.json", weight_map={"a": shards["a"]})
    CHECKS["encoder"](str(folder))
    (folder / "model.safetensors.index.json").write_text("{}")
    assert "model.safetensors.index.json cannot be read" in error_of("encoder", folder)


def test_pytorch_weights_must_be_whole_files(copy):
    folder = copy("one label")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    CHECKS["score"](str(folder))
    whole = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(whole[:-100])
    assert "pytorch_model.bin is cut short; download or copy it again" in error_of("score", folder)


def test_classification_head_must_be_in_the_weights(copy):
    folder = copy("one label")
    change_tensors(folder, lambda tensors: {n: t for n, t in tensors.items() if not n.startswith("classifier")})
    message = "its weights have no classification head, but config.json says one label, so its scores would be random"
    assert message in error_of("score", folder)
    assert message in error_of("evaluation", folder)


def test_outputs_of_the_head_must_agree_with_the_label(copy):
    folder = copy("one label")
    change_tensors(folder, lambda tensors: tensors | {"classifier.weight": torch.zeros(2, 64)})
    assert "its classification head has 2 outputs, but config.json says one label" in error_of("score", folder)


def test_a_decoder_with_a_score_layer_passes_as_cross_encoder(models, tmp_path):
    config = AutoConfig.from_pretrained(models["generator"], num_labels=1)
    Qwen3ForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(models["generator"]).save_pretrained(tmp_path)
    CHECKS["score"](str(tmp_path))
    assert "is not a language model (Qwen3ForSequenceClassification)" in error_of("yes_no", tmp_path)


def test_a_roberta_head_of_two_layers_passes(tmp_path):
    base = tiny_xlm_roberta(tmp_path / "base")
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model.save_pretrained(base)
    CHECKS["score"](str(base))


def test_a_language_model_needs_its_head_unless_it_is_tied(copy):
    folder = copy("generator")
    change_tensors(folder, lambda tensors: {n: t for n, t in tensors.items() if not n.startswith("lm_head")})
    CHECKS["listwise"](str(folder))
    change_json(folder, tie_word_embeddings=False)
    assert "its weights have no language-model head (lm_head)" in error_of("listwise", folder)


def test_chat_template_and_words_are_needed(copy):
    folder = copy("generator")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    for role in ("listwise", "yes_no"):
        assert "the tokenizer has no chat template; use an instruction-tuned model" in error_of(role, folder)
    check_vllm_model(str(folder), None, "teacher.model", "generate")
    with pytest.raises(InputError, match="the tokenizer has no token 'maybe'"):
        check_vllm_model(str(folder), None, "teacher.model", "generate", words=("yes", "maybe"))


def test_sentence_transformers_models_of_other_kinds_are_refused(copy):
    folder = copy("encoder")
    change_json(folder, "config_sentence_transformers.json", model_type="SparseEncoder")
    assert "is a sparse encoder" in error_of("encoder", folder)
    change_json(folder, "config_sentence_transformers.json", model_type="SentenceTransformer")
    CHECKS["encoder"](str(folder))


def test_a_language_model_with_pooling_is_an_encoder(copy):
    folder = copy("generator")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    CHECKS["embed"](str(folder))


def test_modules_in_folders_need_no_files_beside_them(tmp_path):
    modules = [{"idx": 0, "name": "0", "path": "0_Static", "type": "sentence_transformers.models.StaticEmbedding"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    CHECKS["encoder"](str(tmp_path))
    assert "the folder has no config.json" in error_of("embed", tmp_path)


@pytest.mark.parametrize(
    ("without", "changed", "message"),
    [
        ("config.json", {}, "the folder has no config.json"),
        (None, {"config": "{"}, "its configuration cannot be read"),
        (None, {"config": json.dumps({"model_type": "never-heard-of"})}, "its configuration cannot be read"),
        ("tokenizer.json", {"tokenizer_config": "{}"}, "its tokenizer"),
    ],
)
def test_error_names_what_is_missing_in_a_folder(without, changed, message, copy):
    folder = copy("generator")
    if without:
        (folder / without).unlink()
    for name, text in changed.items():
        (folder / f"{name}.json").write_text(text)
    assert message in error_of("listwise", folder)


def limit_of(folder):
    return max_input_tokens(
        str(folder), None, AutoConfig.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    )


def test_input_limit_is_the_smallest_of_all_limits(copy, tmp_path):
    folder = copy("encoder")
    assert limit_of(folder) == 64
    change_json(folder, "sentence_bert_config.json", max_seq_length=48)
    assert limit_of(folder) == 48
    change_json(folder, "tokenizer_config.json", model_max_length=32)
    assert limit_of(folder) == 32
    assert limit_of(tiny_xlm_roberta(tmp_path / "roberta")) == 130 - 2  # positions start after the padding index, 1
    assert limit_of(copy("generator")) == 2048
