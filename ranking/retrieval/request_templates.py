"""Fill the placeholders `{query}` and `{depth}` of a request template, which is a parsed JSON value.

Placeholders are replaced inside the strings of the parsed template, never in JSON text, so a query with quotes, braces
or line breaks cannot change the request's structure.
"""

from __future__ import annotations

import re
from typing import Any

_PLACEHOLDER = re.compile(r"\{(query|depth)\}")


def fill_template(template: Any, query: str, depth: int) -> Any:
    """Replace the placeholders in all strings of a template. Keys are not changed.

    Args:
        template: A JSON value.
        query: Text for `{query}`. Placeholders in it are not replaced.
        depth: Number for `{depth}`. A string that is `{depth}` alone becomes this number.
    """
    if isinstance(template, dict):
        return {key: fill_template(value, query, depth) for key, value in template.items()}
    if isinstance(template, list):
        return [fill_template(value, query, depth) for value in template]
    if not isinstance(template, str):
        return template
    values: dict[str, Any] = {"query": query, "depth": depth}
    if match := _PLACEHOLDER.fullmatch(template):
        return values[match[1]]
    return _PLACEHOLDER.sub(lambda match: str(values[match[1]]), template)


def mentions_query(template: Any) -> bool:
    """Return whether a string of a template contains `{query}`."""
    if isinstance(template, dict):
        return any(map(mentions_query, template.values()))
    if isinstance(template, list):
        return any(map(mentions_query, template))
    return isinstance(template, str) and "{query}" in template
