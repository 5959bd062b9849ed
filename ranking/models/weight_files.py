"""The weight files of a model's folder: whether they are complete, and the names and shapes of their tensors.

Only headers are read. A safetensors file starts with the length of its header in bytes (8 bytes, little-endian) and the
header, JSON that has the dtype, shape and offsets of each tensor: https://huggingface.co/docs/safetensors/index#format.
Headers of PyTorch and GGUF files are not read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ranking.errors import InputError

Shapes = dict[str, tuple[int, ...] | None]
"""Shapes of tensors by name; None for a tensor whose shape is unknown."""

TRANSFORMERS_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Names of the weight files that transformers loads."""
VLLM_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
"""Names of the weight files that vLLM loads."""
SINGLE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"

_PYTORCH_INDEX_FILE = "pytorch_model.bin.index.json"
_OTHER_NAMES = "consolidated"
"""Prefix of files in Mistral's own format, whose tensors have other names."""
_TRAINING_STATE = ("training_args", "optimizer", "scheduler", "rng_state")
_LENGTH_BYTES = 8
_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1024


def git_lfs_pointer(folder: Path) -> str | None:
    """Return the name of a file that is only a Git LFS pointer, which is a few lines of text; None if there is none."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stat().st_size <= _MAX_POINTER_BYTES and path.read_bytes().startswith(_POINTER):
            return path.name
    return None


def tensor_shapes(folder: Path, patterns: Iterable[str], where: str) -> Shapes | None:
    """Read the names and shapes of the tensors that a loader would load from a folder.

    Args:
        folder: The model's folder.
        patterns: Names of the weight files that the loader accepts, `TRANSFORMERS_WEIGHTS` or `VLLM_WEIGHTS`.
        where: Start of error messages; names the model.

    Returns:
        The shapes. None if the weights are not safetensors files with the usual names.

    Raises:
        InputError: There are no weights, or a file is missing, truncated or unreadable.
    """
    names = _weight_files(folder, tuple(patterns), where)
    shapes: Shapes = {}
    for name in names:
        if name.endswith(".safetensors"):
            shapes |= _header_shapes(folder / name, where)
        elif _is_incomplete(folder / name):
            raise InputError(f"{where}: {name} is cut short; download or copy it again")
    is_readable = all(name.endswith(".safetensors") and not name.startswith(_OTHER_NAMES) for name in names)
    return shapes if is_readable else None


def _weight_files(folder: Path, patterns: tuple[str, ...], where: str) -> list[str]:
    """List the files that a loader reads: safetensors files before others, and all files of an index."""
    names = sorted(
        path.name
        for path in folder.iterdir()
        if any(fnmatch(path.name, pattern) for pattern in patterns) and not path.name.startswith(_TRAINING_STATE)
    )
    if SINGLE_FILE in names:
        return [SINGLE_FILE]
    for index in (INDEX_FILE, _PYTORCH_INDEX_FILE):
        if (folder / index).is_file():
            return _indexed_files(folder, index, where)
    safetensors = [name for name in names if name.endswith(".safetensors")]
    if not names:
        raise InputError(
            f"{where}: the folder has no weights, such as {SINGLE_FILE}; save the model with save_pretrained"
        )
    return safetensors or names


def _indexed_files(folder: Path, index: str, where: str) -> list[str]:
    """List the files that an index names.

    Raises:
        InputError: The index is unreadable, or one of the files is missing.
    """
    try:
        names = sorted(set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{where}: {index} cannot be read; download or copy it again") from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{where}: {missing[0]} is missing, which {index} names; "
            f"download or copy {'it' if len(missing) == 1 else f'all {len(missing)} missing files'}"
        )
    return names


def _header_shapes(path: Path, where: str) -> Shapes:
    """Read the shapes in the header of a safetensors file.

    Raises:
        InputError: The file is truncated, or is not a safetensors file.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = _LENGTH_BYTES + int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or start > size:
            raise InputError(
                f"{where}: {path.name} is cut short or is not a safetensors file ({size:,} bytes); "
                "download or copy it again"
            )
        try:
            tensors = _tensors(json.loads(stream.read(start - _LENGTH_BYTES)))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{where}: {path.name} has an unreadable header; download or copy it again") from None
    end = max((start + tensor_end for _, tensor_end in tensors.values()), default=start)
    if end > size:
        raise InputError(f"{where}: {path.name} is cut short ({size:,} of {end:,} bytes); download or copy it again")
    return {name: shape for name, (shape, _) in tensors.items()}


def _tensors(header: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return the shape of each tensor, and the end of its data in bytes after the header."""
    return {
        name: (tuple(map(int, tensor["shape"])), int(tensor["data_offsets"][1]))
        for name, tensor in header.items()
        if name != "__metadata__"
    }


def _is_incomplete(path: Path) -> bool:
    """Return whether a file is empty, or is a zip file, as PyTorch writes them, without its directory at the end."""
    with path.open("rb") as stream:
        start = stream.read(2)
    return not start or (start == b"PK" and not zipfile.is_zipfile(path))
