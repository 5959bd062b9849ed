"""Pinning of the images that clusters start, on copies of the project's own files."""

import shutil
from pathlib import Path

import pytest
import yaml

from tools import image_digests

ROOT = Path(__file__).parents[3]
GPU, CPU = (
    f"r.example.com:5000/rradistill:{build}@sha256:{digit * 64}" for build, digit in (("gpu", "a"), ("cpu", "b"))
)


@pytest.fixture
def folder(tmp_path):
    for name in image_digests.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def images(folder):
    """Return the images in each file, in order."""

    def values(part):
        if isinstance(part, dict):
            for key, value in part.items():
                yield from [value] if key == "image" else values(value)
        elif isinstance(part, list):
            for value in part:
                yield from values(value)

    texts = {name: (folder / name).read_text() for name in image_digests.FILES}
    return {name: list(values(list(yaml.safe_load_all(text)))) for name, text in texts.items()}


def test_every_image_of_a_cluster_is_in_the_files_that_are_pinned(folder):
    named = {path for path in (ROOT / "deploy").rglob("*.yaml") if "image:" in path.read_text()}
    assert {path.relative_to(ROOT).as_posix() for path in named} | {"cluster.yaml"} == set(image_digests.FILES)


def test_images_get_the_digest_of_their_tag(folder, capsys):
    before = images(folder)
    assert image_digests.main([GPU, CPU], folder) == 0
    digests = {"REGISTRY/rradistill:gpu": GPU, "REGISTRY/rradistill:cpu": CPU}
    assert images(folder) == {name: [digests[image] for image in found] for name, found in before.items()}
    assert f"{GPU}: 3 places" in capsys.readouterr().out


def test_pinned_images_are_pinned_to_another_digest(folder):
    image_digests.main([GPU], folder)
    other = GPU.replace("a" * 64, "c" * 64)
    image_digests.main([other], folder)
    assert images(folder)["cluster.yaml"] == [other]


def test_other_lines_and_comments_stay(folder):
    before = (folder / "cluster.yaml").read_text()
    image_digests.main([GPU], folder)
    assert (folder / "cluster.yaml").read_text() == before.replace("REGISTRY/rradistill:gpu", GPU)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("r.example.com/rradistill:gpu", "must be REGISTRY/NAME:TAG@sha256:"),
        ("r.example.com/rradistill@sha256:" + "a" * 64, "must be REGISTRY/NAME:TAG@sha256:"),
        ("r.example.com/rradistill:gpu@sha256:abc", "must be REGISTRY/NAME:TAG@sha256:"),
        (GPU.replace("gpu", "tpu"), "no image has the name and tag of"),
    ],
)
def test_wrong_references_change_nothing(folder, capsys, reference, message):
    before = images(folder)
    assert image_digests.main([CPU, reference], folder) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert images(folder) == before
