"""Write the manifest of a trained model, see `ranking.model_manifest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ranking.file_hash import sha256_of
from ranking.model_manifest import MANIFEST_FILE, WEIGHTS_FILE, ModelManifest


def write_manifest(folder: Path, **fields: Any) -> None:
    """Write manifest.yaml for the weights in a folder.

    Args:
        folder: The model's folder.
        fields: Fields of the manifest, except the license and the hash of the weights.
    """
    manifest = ModelManifest(license="apache-2.0", sha256=sha256_of(folder / WEIGHTS_FILE), **fields)
    text = yaml.safe_dump(manifest.model_dump(exclude_none=True), sort_keys=False)
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
