"""The files of a model in a local folder: their names, and their contents without the weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ranking.errors import InputError
from ranking.models.weight_files import Shapes, git_lfs_pointer, tensor_shapes

ADAPTER_FILE, CONFIG_FILE, MODULES_FILE = "adapter_config.json", "config.json", "modules.json"
LIBRARY_FILE, TOKENIZER_FILE = "config_sentence_transformers.json", "tokenizer_config.json"
JSON_FILES = (ADAPTER_FILE, CONFIG_FILE, MODULES_FILE, LIBRARY_FILE, TOKENIZER_FILE)
"""Files that a check reads."""
_LIBRARY = "sentence_transformers."


class ModelFiles(Protocol):
    """Interface to the files of a model in a folder or on the Hugging Face Hub."""

    def json(self, name: str) -> Any:
        """Read a JSON file; None if it is missing or unreadable."""

    def shapes(self, patterns: tuple[str, ...], where: str) -> Shapes | None:
        """Read the shapes of the tensors, as `ranking.models.weight_files.tensor_shapes` does."""

    def lfs_pointer(self) -> str | None:
        """Return the name of a file that is a Git LFS pointer instead of the file; None if there is none."""


class FolderFiles:
    """The files of a model in a local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, name: str) -> Any:
        """Read a JSON file; None if it is missing or unreadable."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def shapes(self, patterns: tuple[str, ...], where: str) -> Shapes | None:
        """Read the shapes of the tensors. Raises InputError if a weight file is missing, truncated or unreadable."""
        return tensor_shapes(self.folder, patterns, where)

    def lfs_pointer(self) -> str | None:
        """Return the name of a file that is a Git LFS pointer instead of the file; None if there is none."""
        return git_lfs_pointer(self.folder)


def check_files(files: ModelFiles, where: str) -> None:
    """Check that a model is complete: not an adapter, and not a checkout without its large files.

    Raises:
        InputError: It is one of the two.
    """
    adapter = files.json(ADAPTER_FILE)
    if adapter is not None:
        base = adapter.get("base_model_name_or_path") if isinstance(adapter, dict) else None
        raise InputError(
            f"{where}: is a LoRA or PEFT adapter{f' of {base}' if base else ''} ({ADAPTER_FILE}), not a whole model; "
            "merge it into its base (peft's merge_and_unload), save that to another folder and use the folder"
        )
    pointer = files.lfs_pointer()
    if pointer is not None:
        raise InputError(
            f"{where}: {pointer} is a Git LFS pointer instead of the file; run `git lfs pull` in the folder"
        )


def custom_classes(files: ModelFiles) -> list[str]:
    """Return the classes that a model's own code defines: names in `auto_map`, and import paths in modules.json.

    `auto_map` may name code that was added to transformers later, under the same name.
    """
    names: list[str] = []
    for file in (CONFIG_FILE, TOKENIZER_FILE):
        content = files.json(file)
        names += _class_names(content.get("auto_map") if isinstance(content, dict) else None)
    return names + [kind for kind in module_types(files) if not kind.startswith(_LIBRARY)]


def module_types(files: ModelFiles) -> list[str]:
    """Return the classes of the modules of a sentence-transformers model; empty for another model."""
    modules = files.json(MODULES_FILE)
    return [str(module.get("type", "")) for module in modules if isinstance(module, dict)] if modules else []


def library_type(files: ModelFiles) -> str | None:
    """Return the kind of model in sentence-transformers, `SentenceTransformer` if it has modules of an unknown kind."""
    library = files.json(LIBRARY_FILE)
    kind = library.get("model_type") if isinstance(library, dict) else None
    return str(kind) if kind else ("SentenceTransformer" if module_types(files) else None)


def _class_names(value: Any) -> Iterator[str]:
    """Yield the class names in a value of `auto_map`, such as `modeling_x.XModel`, which may be nested."""
    if isinstance(value, str):
        yield value.rpartition(".")[2]
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _class_names(part)
