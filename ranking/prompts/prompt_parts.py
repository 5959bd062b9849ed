"""What prompt files have in common: named parts of text, braces that are filled in, marks that fence documents."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ranking.errors import InputError

StateDimensions = Mapping[str, set[str]]
"""The braces of each part, by the part's name."""


def read_yaml(path: Path) -> Any:
    """Read a prompt file. Raises InputError where it cannot be read or is no YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no YAML ({' '.join(str(error).split())})") from None


def check_parts(path: Path, held: Any, places: StateDimensions, needed: StateDimensions, also: str = "") -> None:
    """Raise InputError for a missing part, an unknown one, one that is no text, or a brace that nothing fills or that is missing.

    also: what the message says the file may hold beside the parts.
    """
    if (
        not isinstance(held, dict)
        or set(held) != set(places)
        or not all(isinstance(text, str) for text in held.values())
    ):
        raise InputError(f"{path}: a prompt has the parts {', '.join(places)}, each a text, {also}and no others")
    for name, text in held.items():
        found = _braces(path, name, text)
        if unknown := found - places[name]:
            raise InputError(f"{path}: part {name!r}: nothing fills {{{min(unknown)}}}; {_known(places[name])}")
        if lacking := needed.get(name, set()) - found:
            raise InputError(f"{path}: part {name!r} must hold {{{min(lacking)}}}")


def drawn_mark(seed: str, texts: Sequence[str]) -> str:
    """Draw eight letters that none of the texts holds."""
    dice = random.Random(seed)
    while True:
        mark = "".join(dice.choices(string.ascii_lowercase, k=8))
        if not any(mark in text for text in texts):
            return mark


def fill(part: str, **values: str) -> str:
    """Put values into the braces of a part in one pass, so that braces inside a value stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda found: values[found.group(1)], part)


def _braces(path: Path, name: str, text: str) -> set[str]:
    if re.sub(r"\{\w+\}", "", text).count("{") or re.sub(r"\{\w+\}", "", text).count("}"):
        raise InputError(f"{path}: part {name!r}: a brace stands alone; write {{name}}")
    return set(re.findall(r"\{(\w+)\}", text))


def _known(places: set[str]) -> str:
    return (
        f"known there: {', '.join('{' + place + '}' for place in sorted(places))}" if places else "it takes no braces"
    )
