"""The files of a model on the Hugging Face Hub, as far as the local cache or a quick request shows them.

The weights are not downloaded. Without a cached snapshot and without a connection, nothing is known about the model,
and the libraries that load it report the problem.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from ranking.errors import InputError
from ranking.models.model_files import CONFIG_FILE, JSON_FILES, FolderFiles, ModelFiles
from ranking.models.model_roles import is_classification_head
from ranking.models.weight_files import INDEX_FILE, SINGLE_FILE, VLLM_WEIGHTS, Shapes, tensor_shapes

_TIMEOUT_SECONDS = 3.0
"""Maximum wait for each answer of the Hub. A check must not delay a job on a machine without a connection."""


class PartialFiles(FolderFiles):
    """A cached snapshot without all of its weights."""

    def shapes(self, patterns: tuple[str, ...], where: str) -> Shapes | None:
        """Return None, because the shapes are unknown."""
        return None


class HubFiles:
    """The files of one commit of a model on the Hub. JSON files are downloaded to the cache when they are read.

    Args:
        model: Hugging Face id.
        commit: Commit hash.
        names: Names of all files of the commit.
    """

    def __init__(self, model: str, commit: str | None, names: set[str]) -> None:
        self.model, self.commit, self.names = model, commit, names

    def json(self, name: str) -> Any:
        """Read a JSON file; None if it is missing or cannot be downloaded."""
        from huggingface_hub import hf_hub_download

        if name not in self.names:
            return None
        with contextlib.suppress(Exception):
            path = hf_hub_download(self.model, name, revision=self.commit, etag_timeout=_TIMEOUT_SECONDS)
            return json.loads(Path(path).read_text(encoding="utf-8"))
        return None

    def shapes(self, patterns: tuple[str, ...], where: str) -> Shapes | None:
        """Read the shapes in the header of the only weight file, or of the files with the classification head.

        Returns:
            The shapes, unknown for all tensors in the other files. None if there are no safetensors files, or the Hub
            does not answer.
        """
        with contextlib.suppress(Exception):
            if SINGLE_FILE in self.names:
                return self._header_shapes(SINGLE_FILE)
            if INDEX_FILE in self.names:
                file_of = self.json(INDEX_FILE)["weight_map"]
                shapes: Shapes = dict.fromkeys(file_of)
                for file in {file_of[name] for name in file_of if is_classification_head(name)}:
                    shapes |= self._header_shapes(file)
                return shapes
        return None

    def lfs_pointer(self) -> str | None:
        """Return None, because the Hub sends files and not pointers."""
        return None

    def _header_shapes(self, file: str) -> Shapes:
        from huggingface_hub import HfApi

        header = HfApi().parse_safetensors_file_metadata(
            self.model, file, revision=self.commit, timeout=_TIMEOUT_SECONDS
        )
        return {name: tuple(tensor.shape) for name, tensor in header.tensors.items()}


def hub_files(model: str, revision: str | None) -> ModelFiles | None:
    """Find the files of a model in the local cache, else on the Hub.

    Args:
        model: Hugging Face id.
        revision: Branch, tag or commit hash; None for the default branch.

    Returns:
        The files. None if the model is not in the cache and the Hub cannot be reached or does not have it.
    """
    from huggingface_hub import HfApi

    snapshot = _cached_snapshot(model, revision)
    if snapshot is not None and _has_weights(snapshot):
        return FolderFiles(snapshot)
    with contextlib.suppress(Exception):
        info = HfApi().model_info(model, revision=revision, timeout=_TIMEOUT_SECONDS)
        return HubFiles(model, info.sha, {file.rfilename for file in info.siblings or ()})
    return PartialFiles(snapshot) if snapshot is not None else None


def _cached_snapshot(model: str, revision: str | None) -> Path | None:
    """Return the folder of a cached snapshot; None if the cache has no JSON file of this revision."""
    from huggingface_hub import try_to_load_from_cache

    for name in JSON_FILES:
        path = try_to_load_from_cache(model, name, revision=revision)
        if isinstance(path, str):
            return Path(path).parent
    return None


def _has_weights(snapshot: Path) -> bool:
    try:
        tensor_shapes(snapshot, VLLM_WEIGHTS, "")
    except (InputError, OSError):
        return False
    return (snapshot / CONFIG_FILE).is_file()
