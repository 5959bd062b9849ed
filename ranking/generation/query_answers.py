"""Parse the queries that a language model wrote for a document, and decide which of them are usable.

An answer is JSON: `{"queries": [{"style": "question", "text": "how do bats find insects at night"}]}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, get_args

from ranking.generation.copied_text import longest_copy
from ranking.generation.generated_ids import generated_id
from ranking.generation.generation_settings import GenerationSettings
from ranking.labels.answer_markup import strip_thinking
from ranking.labels.listwise_answers import REFUSAL
from ranking.records import GenerationStatus, QueryStyle, SourcePassage, WrittenQuery
from ranking.selection.query_text import count_terms, normalise, shown

MIXED: tuple[QueryStyle, ...] = ("question", "problem", "keywords")
"""Styles of the queries without example queries."""

STYLES: tuple[QueryStyle, ...] = get_args(QueryStyle)
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)
_SHOWN_CHARACTERS = 200

WrittenText = tuple[str, QueryStyle]
"""Text and style of a query."""


def query_schema(styles: Sequence[QueryStyle], queries: int) -> dict[str, Any]:
    """Return the JSON schema of an answer. It uses only keywords that servers with structured output support.

    Args:
        styles: Styles that a query can have.
        queries: Number of queries.
    """
    properties = {"style": {"type": "string", "enum": list(styles)}, "text": {"type": "string"}}
    query = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"queries": {"type": "array", "items": query, "minItems": 1, "maxItems": queries}},
        "required": ["queries"],
        "additionalProperties": False,
    }


def parse_answer(
    raw: str, finish_reason: str | None, passage: SourcePassage, settings: GenerationSettings
) -> list[WrittenQuery]:
    """Parse the answer of a language model.

    Args:
        raw: The answer. Thinking before it and a Markdown fence around it are removed.
        finish_reason: The engine's finish reason. `length` means that the answer was truncated.
        passage: The document.
        settings: Limits of the queries.

    Returns:
        The queries with their statuses. A single one, with the number 0, if the whole answer is unusable.
    """
    text = strip_thinking(raw)[0]
    texts = _texts_in(text)
    if texts is not None:
        return check_queries(texts, passage, settings)
    if finish_reason == "length":
        return [unusable(passage, "truncated", text)]
    return [unusable(passage, "refused" if REFUSAL.match(text.strip()) else "bad_json", text)]


def check_queries(
    texts: Sequence[WrittenText], passage: SourcePassage, settings: GenerationSettings
) -> list[WrittenQuery]:
    """Give each query of a document its id and status. Without queries, returns a single one with status `empty`.

    Args:
        texts: Texts and styles of the queries.
        passage: The document.
        settings: Limits of the queries.
    """
    if not texts:
        return [unusable(passage, "empty", "")]
    return [
        WrittenQuery(
            query_id=generated_id(passage.query_id, number),
            text=shown(text),
            style=style,
            status=_status(text, passage.text, settings) if number <= settings.queries_per_document else "surplus",
        )
        for number, (text, style) in enumerate(texts, start=1)
    ]


def unusable(passage: SourcePassage, status: GenerationStatus, text: str) -> WrittenQuery:
    """Return the row of an answer without usable queries, with the beginning of its text."""
    shortened = shown(text)[:_SHOWN_CHARACTERS]
    return WrittenQuery(query_id=generated_id(passage.query_id, 0), text=shortened, style="unstated", status=status)


def style_of(value: object) -> QueryStyle:
    """Return a style as stated by a generator; `unstated` if it is none of the known ones."""
    return next((style for style in STYLES if style == value), "unstated")


def _texts_in(text: str) -> list[WrittenText] | None:
    """Read the queries in an answer; None if it does not have the required form."""
    fenced = _FENCE.fullmatch(text)
    try:
        answer = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    queries = answer.get("queries") if isinstance(answer, dict) else None
    if not isinstance(queries, list) or not all(
        isinstance(query, dict) and isinstance(query.get("text"), str) for query in queries
    ):
        return None
    return [(query["text"], style_of(query.get("style"))) for query in queries]


def _status(text: str, passage: str, settings: GenerationSettings) -> GenerationStatus:
    """Return the status of one query, as far as it depends only on the query and its document."""
    normal = normalise(text)
    if not any(character.isalnum() for character in normal):
        return "empty"
    if count_terms(normal) > settings.max_terms:
        return "too_long"
    if longest_copy(normal, normalise(passage)) > settings.max_copied_terms:
        return "copied"
    return "ok"
