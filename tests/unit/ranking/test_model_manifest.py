"""Tests of the manifests of models: validation, and the manifests in models/."""

import json

import pytest
import yaml

from ranking.errors import InputError
from ranking.model_manifest import read_model_manifest
from ranking.model_paths import PROJECT_MODELS, model_path
from ranking.prompts import bundled_prompt, load_prompt
from tests.testing.facts import ROOT

VALID = {"license": "mit", "sha256": "ab" * 32, "dtype": "auto", "max_tokens": 512}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (yaml.safe_dump(VALID | {"dtpye": "auto"}), "unknown setting 'dtpye'; did you mean 'dtype'?"),
        (yaml.safe_dump(VALID | {"dtype": "int4"}), "setting 'dtype': input should be 'auto', 'float32'"),
        (yaml.safe_dump(VALID | {"sha256": "abc"}), "setting 'sha256': string should match pattern"),
        (yaml.safe_dump({"license": "mit"}), "setting 'sha256': field required"),
        ("- license", "a manifest must be a mapping of keys to values, not a list"),
        ("license: [", "not valid YAML"),
    ],
)
def test_malformed_manifest_is_one_line(text, message, tmp_path):
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        read_model_manifest(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/manifest.yaml: {message}")
    assert "\n" not in str(error.value)


def test_missing_manifest_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"manifest.yaml: cannot read the model's manifest .* build the cluster"):
        read_model_manifest(tmp_path)


@pytest.mark.parametrize("name", PROJECT_MODELS)
def test_manifest_agrees_with_tokenizer_card_and_prompt(name):
    folder = ROOT / "models" / name
    manifest = read_model_manifest(folder)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    card = (folder / "README.md").read_text()
    assert manifest.max_tokens == tokenizer["model_max_length"]
    assert manifest.license == yaml.safe_load(card.split("---")[1])["license"]
    assert "(manifest.yaml)" in card
    assert manifest.prompt is None or load_prompt(bundled_prompt(manifest.prompt))


@pytest.mark.parametrize("name", PROJECT_MODELS)
def test_weights_in_models_have_the_hash_of_their_manifest(name, monkeypatch):
    monkeypatch.setenv("RRADISTILL_MODELS", str(ROOT / "models"))
    assert model_path(name) == str(ROOT / "models" / name)


def test_unknown_bundled_prompt_is_an_error():
    with pytest.raises(InputError, match=r"prompt 'none': not in ranking/prompts; choose one of .*listwise, minilm_l"):
        bundled_prompt("none")
