"""Distinguish Hugging Face ids from the names of local models."""

from __future__ import annotations

from pathlib import Path


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a Hugging Face id, such as BAAI/bge-small-en-v1.5. A folder may have it."""
    return not name.startswith(("/", "./", "../", "~")) and name.count("/") == 1


def is_local(name: str) -> bool:
    """Return whether a model is one of the project's, or a folder, path or URI, and not on the Hugging Face Hub."""
    return not is_hub_id(name) or Path(name).is_dir()
