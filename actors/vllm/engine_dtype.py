"""The dtype that a model's manifest requires, as an argument of the vLLM engine."""

from __future__ import annotations

from typing import Any

from ranking.model_manifest import MANIFEST_FILE
from ranking.model_paths import manifest_of_model

_DTYPE_ALIASES = {"float": "float32", "half": "float16"}
"""Other names that vLLM accepts for a dtype."""


def engine_with_dtype(model: str, engine: dict[str, Any]) -> dict[str, Any]:
    """Set the dtype that the model's manifest requires.

    Raises:
        ValueError: The engine arguments have another dtype.
    """
    manifest = manifest_of_model(model)
    if manifest is None or manifest.dtype == "auto":
        return engine
    dtype = engine.get("dtype", "auto")
    if dtype != "auto" and _DTYPE_ALIASES.get(str(dtype), dtype) != manifest.dtype:
        raise ValueError(
            f"engine.dtype {dtype!r}: {model} needs {manifest.dtype}, see its {MANIFEST_FILE}; remove engine.dtype"
        )
    return {**engine, "dtype": manifest.dtype}
