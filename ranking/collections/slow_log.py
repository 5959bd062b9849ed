"""Read the user's query from a slow log of Elasticsearch or OpenSearch, whose entries contain a request body.

The texts of full-text clauses are the query: `match` and its variants, `multi_match`, `query_string`, `neural`,
`semantic` and others. Clauses that only filter (`filter`, `must_not`, `term`) are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ranking.collections.log_formats import FETCH_PHASE, NO_QUERY, NOT_JSON, SEVERAL_TEXTS
from ranking.collections.nested_values import MISSING, value_at
from ranking.json_text import parse_json

_FULL_TEXT = frozenset(
    (
        "combined_fields",
        "common",
        "match",
        "match_bool_prefix",
        "match_phrase",
        "match_phrase_prefix",
        "multi_match",
        "neural",
        "neural_sparse",
        "query_string",
        "semantic",
        "simple_query_string",
        "sparse_vector",
        "text_expansion",
    )
)
_TEXT_KEYS = ("query", "query_text", "model_text")
_OPTIONS = frozenset(
    ("_name", "analyzer", "default_field", "default_operator", "field", "inference_id", "model_id", "operator")
)
_IGNORED = frozenset(("filter", "functions", "must_not"))
_PHASES = ("component", "log.logger")


def query_of_request(source: Any) -> tuple[str | None, str]:
    """Return the query in the body of a search request.

    Args:
        source: The body, as JSON text or parsed.

    Returns:
        The query and an empty string; or None and the reason why there is no single query.
    """
    body = _parsed(source) if isinstance(source, str) else source
    if not isinstance(body, dict):
        return None, NOT_JSON
    texts = list(
        dict.fromkeys(text for key in ("query", "retriever") for text in _texts(body.get(key)) if text.strip())
    )
    if len(texts) == 1:
        return texts[0], ""
    return None, SEVERAL_TEXTS if texts else NO_QUERY


def is_fetch_phase(row: dict[str, Any]) -> bool:
    """Return whether an entry is about the fetch phase of a search, which has an entry for its query phase too."""
    return any(str(value_at(row, path)).endswith(".fetch") for path in _PHASES if value_at(row, path) is not MISSING)


def skip_reason(row: dict[str, Any]) -> str | None:
    """Return why an entry is not counted whatever its request is; None if it is."""
    return FETCH_PHASE if is_fetch_phase(row) else None


def _parsed(text: str) -> Any:
    """Parse a request body. Some versions escape the quotes of the body twice."""
    for unescape in (False, True):
        try:
            return parse_json(json.loads(f'"{text}"') if unescape else text)
        except ValueError:
            continue
    return None


def _texts(node: Any) -> Iterator[str]:
    """Yield the texts of all full-text clauses below a node of the query, in order."""
    nodes = [node]
    while nodes:
        current = nodes.pop()
        if isinstance(current, list):
            nodes += reversed(current)
        elif isinstance(current, dict):
            for key, value in current.items():
                if key in _FULL_TEXT:
                    yield from _clause_texts(value)
            nodes += [
                value for key, value in reversed(current.items()) if key not in _FULL_TEXT and key not in _IGNORED
            ]


def _clause_texts(clause: Any) -> Iterator[str]:
    """Yield the texts of one clause: `{"query": text, ...}`, `{field: text}` or `{field: {"query": text, ...}}`."""
    if not isinstance(clause, dict):
        return
    if isinstance(clause.get("query"), str):
        yield clause["query"]
        return
    for field, value in clause.items():
        if isinstance(value, dict):
            yield from (value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str))
        elif isinstance(value, str) and field not in _OPTIONS:
            yield value
