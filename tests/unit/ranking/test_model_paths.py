"""Tests of resolving model names to folders."""

import pytest

from ranking.errors import InputError
from ranking.model_paths import FOLDER_VARIABLE, OWN, model_path


def test_folders_and_hub_ids_are_unchanged(tmp_path):
    assert model_path(str(tmp_path)) == str(tmp_path)
    assert model_path("BAAI/bge-small-en-v1.5") == "BAAI/bge-small-en-v1.5"


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "bge-small", "a/b/c", ""])
def test_invalid_name_is_an_error(name):
    with pytest.raises(
        InputError, match="neither 'minilm', 'minilm-cross', 'minilm-list', a folder, nor a Hugging Face id"
    ):
        model_path(name)


@pytest.mark.parametrize("name", OWN)
def test_project_models_are_read_from_the_environment_folder(name, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError) as error:
        model_path(name)
    assert f"{tmp_path}/{name} does not exist" in str(error.value)
    assert FOLDER_VARIABLE in str(error.value)
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text("{}")
    assert model_path(name) == str(tmp_path / name)
