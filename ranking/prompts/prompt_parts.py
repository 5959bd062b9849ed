"""Parts of all kinds of prompts: read and check prompt files, fill in placeholders, draw marks, make chat messages.

Placeholders are names in braces, such as {query}. A mark is a word on the lines around the query and each document.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ranking.errors import InputError

Placeholders = Mapping[str, set[str]]
"""{name of a part: names of its placeholders}."""

_MARK_LETTERS = 12


@dataclass(frozen=True)
class DocumentPrompt:
    """The parts of a prompt that shows documents.

    Attributes:
        system: Text of the system message. If empty, there is no system message.
        opening: Template of the text before the documents.
        document: Template of one document.
        closing: Template of the text after the documents.
    """

    system: str
    opening: str
    document: str
    closing: str

    def chat(self, opening: str, documents: Iterable[str], closing: str) -> list[dict[str, str]]:
        """Join the filled parts to chat messages."""
        return chat_messages(self.system, "\n\n".join([opening, *documents, closing]))


def chat_messages(system: str, user: str) -> list[dict[str, str]]:
    """Return chat messages with `role` and `content`: the system message, unless it is empty, and the user message."""
    message = {"role": "user", "content": user}
    return [{"role": "system", "content": system}, message] if system else [message]


def hash_of_parts(parts: object) -> str:
    """Hash the repr of a prompt's parts, and of whatever else determines its messages: 16 hexadecimal digits."""
    return hashlib.sha256(repr(parts).encode("utf-8")).hexdigest()[:16]


def read_yaml(path: Path) -> Any:
    """Read a prompt file and return its parsed YAML.

    Raises:
        InputError: The file cannot be read or is not valid YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except RecursionError:
        raise InputError(f"{path}: not valid YAML (nested too deeply)") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None


def check_parts(
    path: Path, parts: Any, allowed: Placeholders, required: Placeholders, optional: Sequence[str] = ()
) -> None:
    """Check the parts of a prompt file and their placeholders.

    Args:
        path: The file, for error messages.
        parts: The parsed file.
        allowed: All parts that the file must have, with the placeholders that each part may contain.
        required: Placeholders that a part must contain.
        optional: Optional keys of the file, for error messages. The caller has already removed them from `parts`.

    Raises:
        InputError: A part is missing, unknown or not a string, or a placeholder is missing or unknown.
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
    """Draw the mark of a prompt: twelve letters on the lines around the query and each document.

    The mark is derived from the SHA-256 hash of the seed and all texts, so the same prompt always has the same mark.
    The author of a document cannot write it: that takes the query and all other documents, the document itself changes
    it, and a mark that occurs in any of the texts is never used. Twelve letters (56 bits) are too many to search for a
    document that contains almost its own mark.

    Args:
        seed: Seed of the mark.
        texts: Texts that will be inserted into the prompt.
    """
    lowered = [text.lower() for text in texts]
    marks = (_mark([seed, attempt, *texts]) for attempt in itertools.count())
    return next(mark for mark in marks if not any(mark in text for text in lowered))


def fill(part: str, **values: str) -> str:
    """Replace the placeholders of a part with values. A single pass leaves braces inside the values unchanged."""
    return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], part)


def _mark(inputs: Sequence[object]) -> str:
    number = int.from_bytes(hashlib.sha256(json.dumps(inputs).encode("ascii")).digest())
    mark = ""
    for _ in range(_MARK_LETTERS):
        number, letter = divmod(number, len(string.ascii_lowercase))
        mark += string.ascii_lowercase[letter]
    return mark


def _placeholders(path: Path, name: str, text: str) -> set[str]:
    if re.sub(r"\{\w+\}", "", text).count("{") or re.sub(r"\{\w+\}", "", text).count("}"):
        raise InputError(f"{path}: part {name!r}: unbalanced brace; write placeholders as {{name}}")
    return set(re.findall(r"\{(\w+)\}", text))


def _allowed_text(names: set[str]) -> str:
    return (
        f"allowed: {', '.join(f'{{{name}}}' for name in sorted(names))}" if names else "this part has no placeholders"
    )
