"""The manifest of a model's folder: how to run its weights, and their hash."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from ranking.errors import InputError
from ranking.file_hash import sha256_of
from ranking.run_file import validate
from ranking.settings import Settings

MANIFEST_FILE = "manifest.yaml"
WEIGHTS_FILE = "model.safetensors"


class ModelManifest(Settings):
    """The file manifest.yaml in a model's folder. Settings that a user leaves unset get their values from it."""

    license: str = Field(description="License of the weights, as in the model card.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of model.safetensors, checked at loading.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        description="dtype that vLLM must compute in. `auto`: the model works in any dtype."
    )
    max_tokens: int = Field(ge=1, description="Maximum tokens of an input; for a decoder, including its answer.")
    max_document_tokens: int | None = Field(
        None, ge=8, description="Tokens per document in a listwise prompt. Null: the default of the settings."
    )
    prompt: str | None = Field(
        None,
        pattern=r"^[a-z0-9_]+$",
        description="Listwise prompt that the model was trained with: a file in ranking/prompts/ without its suffix. "
        "Null: the built-in prompt.",
    )
    score_scale: float | None = Field(
        None,
        gt=0,
        description="Factor between a relevance score from 0 to 1, such as a cosine, and the model's logit. "
        "Null: unknown, or the model gives no scores.",
    )


def read_model_manifest(folder: Path) -> ModelManifest:
    """Read the manifest in a model's folder.

    Raises:
        InputError: The file is missing, unreadable or not a valid manifest.
    """
    path = folder / MANIFEST_FILE
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the model's manifest ({error.strerror}); the repository's models/ contains it, copy "
            "it from there or build the cluster's image again"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a manifest must be a mapping of keys to values, not a {type(raw).__name__}")
    return validate(ModelManifest, raw, str(path))


def check_weights(folder: Path, sha256: str, where: str, hint: str) -> None:
    """Compare the weights in a model's folder with their expected hash. Unchanged weights are read once per process.

    Args:
        folder: The model's folder.
        sha256: Expected SHA-256 of model.safetensors.
        where: Start of the error message; names the model.
        hint: End of the error message; says what to do.

    Raises:
        InputError: The weights are missing or have another hash.
    """
    path = folder / WEIGHTS_FILE
    try:
        actual = sha256_of(path)
    except OSError as error:
        raise InputError(f"{where}: {path} cannot be read ({error.strerror}); {hint}") from None
    if actual != sha256:
        raise InputError(f"{where}: {path} has the SHA-256 {actual[:16]}..., not {sha256[:16]}...; {hint}")
