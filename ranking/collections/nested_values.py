"""Find values in nested JSON objects by a path with dots, such as `_source.user_query`."""

from __future__ import annotations

from typing import Any, Final

MISSING: Final = object()
"""The result of `value_at` if there is no such value. Unlike None, which is a JSON null."""


def value_at(value: Any, path: str) -> Any:
    """Return the value at a path; `MISSING` if there is none.

    A part of the path is a key, without regard to case, or the position in a list, from 0. A key may contain dots
    itself: `a.b` finds `{"a": {"b": 1}}` and `{"a.b": 1}`. Keys that equal the whole path take precedence.
    """
    if isinstance(value, dict):
        return value[path] if path in value else _value_in_object(value, path)
    if isinstance(value, list):
        position, _, rest = path.partition(".")
        if position.isdecimal() and int(position) < len(value):
            inner = value[int(position)]
            return value_at(inner, rest) if rest else inner
    return MISSING


def paths_in(value: Any, prefix: str = "", levels: int = 4) -> list[str]:
    """List the paths of the values in an object, down to a number of levels."""
    if not isinstance(value, dict) or not levels:
        return [prefix]
    return [
        path
        for key, inner in value.items()
        for path in paths_in(inner, f"{prefix}.{key}" if prefix else key, levels - 1)
    ]


def _value_in_object(value: dict[str, Any], path: str) -> Any:
    folded = path.casefold()
    for key in value:
        if key.casefold() == folded:
            return value[key]
    if "." in path:
        for key, inner in value.items():
            if folded.startswith(f"{key.casefold()}."):
                found = value_at(inner, path[len(key) + 1 :])
                if found is not MISSING:
                    return found
    return MISSING
