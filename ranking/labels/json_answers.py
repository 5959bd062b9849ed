"""Listwise answers as JSON, `{"ranking": [3, 1]}`, which servers enforce with a JSON schema."""

from __future__ import annotations

import json
import re
from typing import Any

from ranking.labels.listwise_answers import SEPARATOR

JSON_REQUEST = 'Write the ranking as JSON with the numbers of the documents, like this: {"ranking": [4, 1, 7]}'
"""Added to a prompt whose answer must match `ranking_schema`."""

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


def ranking_schema(documents: int) -> dict[str, Any]:
    """Return the JSON schema of an answer.

    It uses only keywords that servers with structured output support. Distinct numbers are not among them, so the
    parser drops repeated ones.

    Args:
        documents: Number of documents in the prompt.
    """
    number = {"type": "integer", "enum": list(range(1, documents + 1))}
    return {
        "type": "object",
        "properties": {"ranking": {"type": "array", "items": number}},
        "required": ["ranking"],
        "additionalProperties": False,
    }


def chain_of_json(text: str) -> str:
    """Rewrite an answer in JSON as a chain of identifiers. Any other text is returned unchanged.

    `{"ranking": [3, 1]}` becomes `[3] > [1]`, also in a Markdown fence and after thinking.
    """
    thinking, end, written = text.rpartition("</think>")
    numbers = only_value(written, "ranking")
    if not isinstance(numbers, list) or not all(type(number) is int and number >= 0 for number in numbers):
        return text
    return f"{thinking}{end}" + SEPARATOR.join(f"[{number}]" for number in numbers)


def only_value(text: str, name: str) -> Any:
    """Return the value of a JSON object with this name only, also in a Markdown fence; None for any other text."""
    fenced = _FENCE.fullmatch(text)
    try:
        answer = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    return answer.get(name) if isinstance(answer, dict) and len(answer) == 1 else None
