"""Names of models become folders, or one line that says what is missing."""

import pytest

from ranking.errors import InputError
from ranking.model_paths import FOLDER_VARIABLE, OWN, model_path


def test_a_folder_and_an_id_stay_what_they_are(tmp_path):
    assert model_path(str(tmp_path)) == str(tmp_path)
    assert model_path("BAAI/bge-small-en-v1.5") == "BAAI/bge-small-en-v1.5"


@pytest.mark.parametrize("name", ["/nowhere/model", "./nowhere", "bge-small", "a/b/c", ""])
def test_what_is_neither_is_told(name):
    with pytest.raises(
        InputError, match="neither 'minilm', 'minilm-cross', 'minilm-list', a folder, nor a Hugging Face id"
    ):
        model_path(name)


@pytest.mark.parametrize("name", OWN)
def test_an_own_model_is_taken_from_the_folder_that_the_environment_names(name, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(InputError) as error:
        model_path(name)
    assert f"there is no {tmp_path}/{name}" in str(error.value)
    assert FOLDER_VARIABLE in str(error.value)
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text("{}")
    assert model_path(name) == str(tmp_path / name)
