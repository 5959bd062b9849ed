"""Shared parts of prompt files: reading, validation, placeholders in braces, and random marks around documents."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ranking.errors import InputError

Placeholders = Mapping[str, set[str]]
"""Placeholder names by the name of their part."""


def read_yaml(path: Path) -> Any:
    """Read a prompt file.

    Raises:
        InputError: if the file cannot be read or is not valid YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None


def check_parts(
    path: Path, parts: Any, allowed: Placeholders, required: Placeholders, optional: Sequence[str] = ()
) -> None:
    """Check the parts of a prompt file and their placeholders.

    Args:
        path: the file, for error messages.
        parts: the parsed file.
        allowed: the file's parts, with the placeholders that each may have.
        required: placeholders that a part must have.
        optional: other settings of the file, for error messages. The caller has already removed them from `parts`.

    Raises:
        InputError: if a part is missing, unknown or not a string, or a placeholder is missing or unknown.
    """
    if (
        not isinstance(parts, dict)
        or set(parts) != set(allowed)
        or not all(isinstance(text, str) for text in parts.values())
    ):
        options = f" (optional: {', '.join(optional)})" if optional else ""
        raise InputError(f"{path}: a prompt file must have exactly the string parts {', '.join(allowed)}{options}")
    for name, text in parts.items():
        used = _placeholders(path, name, text)
        if unknown := used - allowed[name]:
            raise InputError(
                f"{path}: part {name!r}: unknown placeholder {{{min(unknown)}}}; {_allowed_text(allowed[name])}"
            )
        if missing := required.get(name, set()) - used:
            raise InputError(f"{path}: part {name!r} must contain {{{min(missing)}}}")


def draw_mark(seed: str, texts: Sequence[str]) -> str:
    """Draw eight letters that do not occur in any of the texts."""
    generator = random.Random(seed)
    while True:
        mark = "".join(generator.choices(string.ascii_lowercase, k=8))
        if not any(mark in text for text in texts):
            return mark


def fill(part: str, **values: str) -> str:
    """Replace the placeholders of a part in a single pass, to leave braces inside a value unchanged."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], part)


def _placeholders(path: Path, name: str, text: str) -> set[str]:
    if re.sub(r"\{\w+\}", "", text).count("{") or re.sub(r"\{\w+\}", "", text).count("}"):
        raise InputError(f"{path}: part {name!r}: unbalanced brace; write placeholders as {{name}}")
    return set(re.findall(r"\{(\w+)\}", text))


def _allowed_text(names: set[str]) -> str:
    return (
        f"allowed: {', '.join(f'{{{name}}}' for name in sorted(names))}" if names else "this part has no placeholders"
    )
