"""The wheel works outside the checkout: package data, console command, and the first stages of the quickstart."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.testing.facts import BIN, ROOT

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a virtual environment with the wheel and this environment's packages, but without its editable install."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in tracked.stdout.split("\n"):
        if name.split("/")[0] in (
            "ranking",
            "students",
            "actors",
            "ray_jobs",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(place), str(source)], check=True, cwd=place)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "env")], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place / "env")}))
    # a plain path in a .pth file does not process the .pth files of that folder, such as that of the editable install
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    (wheel,) = place.glob("*.whl")
    python = str(place / "env/bin/python")
    subprocess.run([BIN / "uv", "pip", "install", "--quiet", "--no-deps", "--python", python, str(wheel)], check=True)
    return place


def call(installed, program, *arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    command = [installed / "env/bin" / program, *arguments]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=400)


def test_code_and_data_come_from_the_wheel(installed):
    code = "import ranking.prompts as p, ray_jobs; print(p.load_prompt(p.LISTWISE).hash, ray_jobs.__file__)"
    done = call(installed, "python", "-c", code)
    assert str(installed / "env") in done.stdout, done.stderr


def test_first_stages_of_the_quickstart_run(installed):
    shutil.copy(ROOT / "configs" / "quickstart.yaml", installed / "run.yaml")
    done = call(installed, "rradistill", "candidates", "run.yaml", "--candidates.retrievers", '[{"kind": "bm25"}]')
    assert done.returncode == 0, done.stdout + done.stderr
    assert "long-tail queries of" in done.stdout
    assert "candidate lists" in done.stdout
    assert (installed / "runs/quickstart/candidates/_manifest.json").is_file()


def test_a_bad_setting_is_one_line(installed):
    done = call(installed, "rradistill", "train", "run.yaml", "--training.epoch", "2")
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        ["error: argument --training.epoch: unknown setting; did you mean --training.epochs?"],
    )
