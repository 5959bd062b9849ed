"""Upload of the champion to the Hugging Face Hub, against a stub of the Hub's API."""

import os
import subprocess
import sys

import pytest

from ranking.registry import Registry
from ranking.storage.checksums import write_checksums
from ranking.storage.folder import Folder
from tests.testing.facts import ROOT
from tests.testing.hub_stub import TOKEN, running_hub
from tools.untrained_student import untrained_student


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


def python(hub, *arguments, token=TOKEN, home="/nonexistent", endpoint=None):
    """Run Python with the stub as the Hub. The Hub's client reads its variables when it is imported."""
    variables = {"HF_ENDPOINT": endpoint or hub.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(home)}
    environment = {**os.environ, **variables, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def push(hub, storage, repository="org/ranker", **options):
    arguments = ["configs/collection.yaml", "--storage", storage, "--push", repository]
    return python(hub, "-m", "ray_jobs.promote", *arguments, **options)


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """A storage root with a champion."""
    folder = tmp_path_factory.mktemp("storage")
    model = untrained_student(folder / "model", 1)
    write_checksums(model)
    Registry(Folder(folder)).promote(model, "rra-bert-1", "run", "It is better.")
    return folder


def test_champion_is_uploaded_to_a_private_repository(hub, storage, tmp_path):
    done = push(hub, storage, home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"rra-bert-1 uploaded: {hub.url}/org/ranker/commit/" in done.stdout
    champion = storage / "registry" / "rra-bert-1"
    assert hub.files["org/ranker"].keys() >= {"config.json", "model.safetensors", "tokenizer.json"}
    for name, content in hub.files["org/ranker"].items():
        assert (champion / name).read_bytes() == content
    assert (hub.private["org/ranker"], hub.commits) == (True, ["Upload rra-bert-1"])


def test_uploaded_model_is_evaluated_from_the_hub(hub, storage, tmp_path):
    assert push(hub, storage, home=tmp_path).returncode == 0
    score = (
        "from students.scoring import ClassifierScorer\n"
        "scorer = ClassifierScorer('org/ranker', precision='fp32')\n"
        "print(scorer.score([('query', 'a document')]))"
    )
    local = score.replace("org/ranker", str(storage / "registry" / "rra-bert-1"))
    from_hub, from_folder = (python(hub, "-c", code, home=tmp_path) for code in (score, local))
    assert from_hub.returncode == 0, from_hub.stderr
    assert from_hub.stdout == from_folder.stdout != ""


@pytest.mark.parametrize(
    ("repository", "options", "expected"),
    [
        ("org/ranker", {"token": "hf_wrong"}, "org/ranker: the Hub refused the token (status 401)"),
        ("no/such/id", {}, "'no/such/id' is no repository id"),
        ("org/ranker", {"endpoint": "http://127.0.0.1:9"}, "cannot reach http://127.0.0.1:9"),
    ],
)
def test_refused_uploads_end_in_one_line(hub, storage, tmp_path, repository, options, expected):
    done = push(hub, storage, repository, home=tmp_path, **options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: argument --push: {expected}")


def test_push_without_a_champion_says_so(hub, tmp_path):
    done = push(hub, tmp_path, home=tmp_path)
    assert done.returncode == 2
    assert "no champion yet" in done.stderr
