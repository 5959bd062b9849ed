"""Defaults of listwise teachers, and those that a model's manifest sets."""

import pytest
import yaml

from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings


@pytest.mark.parametrize("engine", [{"enforce_eager": True}, {"dtype": "auto"}, {"dtype": "float32"}])
def test_minilm_list_runs_in_float32_with_short_documents(engine):
    settings = ListwiseTeacherSettings(model="minilm-list", engine=engine)
    assert settings.engine == {**engine, "dtype": "float32"}
    assert settings.max_document_tokens == 64
    assert ListwiseTeacherSettings(model="minilm-list", max_document_tokens=40).max_document_tokens == 40


def test_minilm_list_refuses_lower_precision():
    with pytest.raises(ValueError, match=r"engine\.dtype 'bfloat16': minilm-list needs float32, see its manifest.yaml"):
        ListwiseTeacherSettings(model="minilm-list", engine={"dtype": "bfloat16"})


def test_minilm_list_uses_its_own_prompt_unless_another_is_set():
    assert ListwiseTeacherSettings(model="minilm-list").prompt_file.name == "minilm_list.yaml"
    assert ListwiseTeacherSettings(model="minilm-list", prompt="mine.yaml").prompt_file.name == "mine.yaml"


@pytest.fixture
def model_with_manifest(tmp_path):
    manifest = {"license": "mit", "sha256": "0" * 64, "dtype": "bfloat16", "max_tokens": 300, "prompt": "rankgpt"}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest | {"max_document_tokens": 33}))
    return str(tmp_path)


def test_manifest_of_any_folder_gives_the_defaults(model_with_manifest):
    settings = ListwiseTeacherSettings(model=model_with_manifest)
    assert (settings.engine["dtype"], settings.max_document_tokens) == ("bfloat16", 33)
    assert settings.prompt_file.name == "rankgpt.yaml"


def test_other_models_keep_their_precision_and_document_length():
    settings = ListwiseTeacherSettings(model="another", engine={"dtype": "bfloat16"})
    assert settings.engine == {"dtype": "bfloat16"}
    assert settings.max_document_tokens == 200
