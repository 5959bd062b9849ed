"""The hits that a search engine returns for a query, read from its JSON answer or from the rows of a SELECT."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ranking.collections.nested_values import MISSING, value_at
from ranking.engine_settings import HttpSearchSettings


class AnswerError(ValueError):
    """An answer of a search engine has no valid hits. The message is one line."""


@dataclass(frozen=True)
class EngineHit:
    """A document that a search engine returned.

    Attributes:
        doc_id: Id of the document.
        title: None if the answer has no title.
        text: None if the answer has no text, or a blank one.
        score: None if the answer has no finite score.
    """

    doc_id: str
    title: str | None = None
    text: str | None = None
    score: float | None = None


def hits_of_answer(answer: Any, settings: HttpSearchSettings, depth: int) -> list[EngineHit]:
    """Read the hits of a JSON answer.

    Args:
        answer: The parsed answer.
        settings: Paths of the values in the answer.
        depth: Maximum number of hits.

    Raises:
        AnswerError: A required value is missing or has the wrong type.
    """
    found = value_at(answer, settings.hits) if settings.hits else answer
    if found is MISSING and settings.total is not None and value_at(answer, settings.total) == 0:
        found = []
    if found is MISSING:
        raise AnswerError(f"the answer has no value at {settings.hits!r} (setting `hits`)")
    if not isinstance(found, list):
        raise AnswerError(f"the value at {settings.hits!r} (setting `hits`) is {_type_of(found)}, not a list")
    paths = {"id": settings.id, "title": settings.title, "text": settings.text, "score": settings.score}
    return distinct_hits([_hit(entry, paths, rank) for rank, entry in enumerate(found[:depth], start=1)])


def hits_of_rows(rows: Sequence[Mapping[str, Any]]) -> list[EngineHit]:
    """Read hits from rows with the columns id, and optionally title, text and score.

    Raises:
        AnswerError: A value is missing or has the wrong type.
    """
    paths: dict[str, str | None] = {name: name for name in ("id", "title", "text", "score")}
    return distinct_hits([_hit(dict(row), paths, rank) for rank, row in enumerate(rows, start=1)])


def partial_problem(answer: Any, paths: Sequence[str]) -> str | None:
    """Describe why an answer is incomplete; None if no value at these paths says so."""
    for path in paths:
        value = value_at(answer, path)
        if value is not MISSING and value:
            return f"the answer is incomplete ({path} is {str(value)[:80]})"
    return None


def distinct_hits(hits: Sequence[EngineHit]) -> list[EngineHit]:
    """Keep the first hit of each document."""
    first: dict[str, EngineHit] = {}
    for hit in hits:
        first.setdefault(hit.doc_id, hit)
    return list(first.values())


def usable_scores(scores: Sequence[float | None]) -> list[float]:
    """Return the scores of a list, best first, or 1 / rank if they cannot be used.

    They cannot be used if one is missing, or if they increase from first to last, as distances do.
    """
    present = [score for score in scores if score is not None]
    if len(present) < len(scores) or any(after > before for before, after in itertools.pairwise(present)):
        return [1.0 / rank for rank in range(1, len(scores) + 1)]
    return present


def _hit(entry: Any, paths: Mapping[str, str | None], rank: int) -> EngineHit:
    """Read one hit of an answer. `rank` is for error messages."""
    values = {name: None if path is None else value_at(entry, path) for name, path in paths.items()}
    known = {name: None if value is MISSING else value for name, value in values.items()}
    where = {name: f"hit {rank}: the {name} at {path!r}" for name, path in paths.items()}
    doc_id = _as_text(known["id"], where["id"])
    if not doc_id:
        raise AnswerError(f"hit {rank} has no document id at {paths['id']!r}")
    text, title = (_as_text(known[name], where[name]) for name in ("text", "title"))
    return EngineHit(doc_id, title, text if text and text.strip() else None, _as_score(known["score"], where["score"]))


def _as_text(value: Any, where: str) -> str | None:
    """Convert a string or an integer to a string."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise AnswerError(f"{where} is {_type_of(value)}, not a string")


def _as_score(value: Any, where: str) -> float | None:
    """Convert a number to a float; None if it is not finite."""
    if value is None:
        return None
    try:
        if isinstance(value, str | bool):
            raise TypeError
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        raise AnswerError(f"{where} is {_type_of(value)}, not a number") from None
    return score if math.isfinite(score) else None


def _type_of(value: Any) -> str:
    """Describe the type of a value for an error message."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"of type {type(value).__name__}")
