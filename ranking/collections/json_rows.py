"""Read the rows of a JSON file: one value per line, or the elements of one array."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranking.collections.lines import read_lines, read_text
from ranking.errors import InputError
from ranking.json_text import parse_json, parse_json_at, replace_surrogates

_WHITE_SPACE = re.compile(r"[ \t\r\n]*")


def is_array(path: Path) -> bool:
    """Return whether a JSON file is an array, judging by its first character."""
    first = next(read_lines(path), None)
    return first is not None and first[1].lstrip().startswith("[")


def read_json_rows(path: Path, notes: list[str] | None = None) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) for each row of a plain or gzipped JSON file.

    A file that begins with `[` is one array. Other files have one value per line.

    Args:
        path: The file.
        notes: If given, half surrogate pairs, which UTF-8 cannot encode, are replaced with U+FFFD, and their number is
            appended after the last row. If None, they are an error.

    Raises:
        InputError: The file cannot be read, or a row is malformed. The message names file and line.
    """
    replaced = 0
    for line, value, count in (_array_rows if is_array(path) else _line_rows)(path, notes is not None):
        replaced += count
        yield line, value
    if replaced and notes is not None:
        notes.append(f"{path.name}: {replaced:,} half surrogate pairs were replaced with U+FFFD")


def _line_rows(path: Path, repair: bool) -> Iterator[tuple[int, Any, int]]:
    """Yield (line number, value, number of replaced surrogates) for each line."""
    for line, text in read_lines(path):
        repaired, replaced = replace_surrogates(text) if repair else (text, 0)
        try:
            yield line, parse_json(repaired), replaced
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}") from None


def _array_rows(path: Path, repair: bool) -> Iterator[tuple[int, Any, int]]:
    """Yield (line number, value, number of replaced surrogates) for each element of a JSON array.

    The number of the whole file is yielded with the first element.
    """
    text = read_text(path)
    text, replaced = replace_surrogates(text) if repair else (text, 0)
    line, counted = 1, 0
    position = _skip_space(text, text.index("[") + 1)
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, position = parse_json_at(text, position)
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
        yield line, value, replaced
        replaced = 0
        position = _skip_space(text, position)
        if text[position : position + 1] == ",":
            position = _skip_space(text, position + 1)
        elif text[position : position + 1] != "]":
            raise InputError(f"{path}, line {line}: not valid JSON (no comma or ] after this element of the array)")
    if text[position + 1 :].strip():
        raise InputError(f"{path}, line {line}: not valid JSON (Extra data after the array)")


def _skip_space(text: str, position: int) -> int:
    """Return the index of the first character that is not white space, from `position` on."""
    match = _WHITE_SPACE.match(text, position)
    return match.end() if match else position
