"""The dtype that a model's manifest requires applies to all settings that run a model in vLLM."""

import pytest
import yaml

from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings

KINDS = [PointwiseTeacherSettings, ListwiseTeacherSettings, LlmRationaleSettings]


@pytest.fixture
def half_precision_model(tmp_path):
    manifest = {"license": "mit", "sha256": "0" * 64, "dtype": "float16", "max_tokens": 300}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return str(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", [{}, {"dtype": "auto"}, {"dtype": "half"}, {"dtype": "float16"}])
def test_required_dtype_is_set(kind, engine, half_precision_model):
    assert kind(model=half_precision_model, engine=engine).engine == {"dtype": "float16"}


@pytest.mark.parametrize("kind", KINDS)
def test_another_dtype_is_an_error(kind, half_precision_model):
    with pytest.raises(ValueError, match=r"engine\.dtype 'float': .* needs float16, see its manifest.yaml; remove"):
        kind(model=half_precision_model, engine={"dtype": "float"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["minilm", "minilm-cross", "BAAI/bge-small-en-v1.5"])
def test_models_without_a_required_dtype_run_in_any(kind, model):
    assert kind(model=model, engine={"dtype": "half"}).engine == {"dtype": "half"}
