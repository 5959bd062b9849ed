"""Models of the Hugging Face Hub are checked from the local cache, or from headers that a quick request returns.

The Hub is replaced, because tests run without internet.
"""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest

from ranking.errors import InputError
from ranking.models import hub_files as hub
from ranking.models.model_files import FolderFiles
from ranking.models.weight_files import VLLM_WEIGHTS
from students.model_check import checked_model
from tests.testing.facts import ROOT
from tools.tiny_models import tiny_bert

MODEL, COMMIT = "organisation/reranker", "0" * 40
CHECK = f"""
from students.model_check import check_vllm_model
check_vllm_model({MODEL!r}, None, "teacher.model", "score")
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A classifier with two labels, which no role accepts as a cross-encoder."""
    return tiny_bert(tmp_path_factory.mktemp("model"), ["irrelevant", "relevant"])


def cache_of(folder, model, without=()):
    """Write a cache of the Hub with one snapshot of a model, and return the snapshot."""
    repository = folder / "hub" / f"models--{MODEL.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(model, snapshot, ignore=shutil.ignore_patterns(*without))
    return snapshot


@pytest.fixture
def offline(monkeypatch):
    """Make all requests to the Hub fail at once."""

    def fail(*_, **__):
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)


def test_cached_model_is_refused_without_a_connection(model, tmp_path):
    cache_of(tmp_path, model)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"InputError: teacher.model '{MODEL}': has 2 labels (irrelevant, relevant)" in done.stderr


def test_snapshot_without_weights_has_unknown_shapes(model, tmp_path, offline, monkeypatch):
    snapshot = cache_of(tmp_path, model, ["*.safetensors"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    files = hub.hub_files(MODEL, None)
    assert isinstance(files, hub.PartialFiles)
    assert files.shapes(VLLM_WEIGHTS, "") is None
    assert files.json("config.json")["model_type"] == "bert"
    shutil.copy(model / "model.safetensors", snapshot)
    assert set(hub.hub_files(MODEL, None).shapes(VLLM_WEIGHTS, "")) == set(FolderFiles(model).shapes(VLLM_WEIGHTS, ""))
    assert hub.hub_files(MODEL, "another-revision") is None


@pytest.mark.parametrize("sharded", [False, True])
def test_headers_come_from_the_hub_if_the_cache_has_no_weights(sharded, model, tmp_path, monkeypatch):
    shapes = FolderFiles(model).shapes(VLLM_WEIGHTS, "")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {name: f"{name.startswith('classifier')}.safetensors" for name in shapes}})
    )
    requested = []

    def header(_, repository, name, revision, timeout):
        requested.append(name)
        tensors = {tensor: SimpleNamespace(shape=list(shape)) for tensor, shape in shapes.items()}
        return SimpleNamespace(tensors={n: t for n, t in tensors.items() if not sharded or n.startswith("classifier")})

    weights = (
        ["model.safetensors.index.json", "True.safetensors", "False.safetensors"] if sharded else ["model.safetensors"]
    )
    info = SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=name) for name in ["config.json", *weights]])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    monkeypatch.setattr(huggingface_hub.HfApi, "parse_safetensors_file_metadata", header)
    folders = {index.name: tmp_path, "config.json": model}
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda _, name, **__: str(folders[name] / name))
    files = hub.hub_files(MODEL, None)
    found = files.shapes(VLLM_WEIGHTS, "")
    assert found["classifier.weight"] == (2, 64)
    assert set(found) == set(shapes)
    assert requested == (["True.safetensors"] if sharded else ["model.safetensors"])
    assert (files.json("config.json")["model_type"], files.json("modules.json")) == ("bert", None)


def test_unknown_model_without_a_connection_is_reported_by_the_loader(tmp_path, offline, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert hub.hub_files(MODEL, None) is None
    with pytest.raises(InputError, match="its configuration cannot be read"):
        checked_model(MODEL, None, f"teacher.model {MODEL!r}", "score")
