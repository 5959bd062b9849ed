"""Find out how much of a query is copied from its document."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ranking import unsegmented
from ranking.selection.query_text import words_of

_UNITS = re.compile(f"[{unsegmented.CHARACTERS}]|[^{unsegmented.CHARACTERS}]+")
_CHARACTERS_PER_TERM = 2


def longest_copy(query: str, passage: str) -> int:
    """Return the length of the longest run of consecutive terms that a query has in common with a document.

    Words are terms. In scripts without spaces between words, two characters count as one term. Punctuation does not
    interrupt a run.

    Args:
        query: Normalised text of the query.
        passage: Normalised text of the document.
    """
    units = _units(query)
    positions: dict[str, list[int]] = {}
    for position, unit in enumerate(_units(passage)):
        positions.setdefault(unit, []).append(position)
    longest = 0
    runs: dict[int, int] = {}  # {position in the document: start of the run in the query that ends there}
    for place, unit in enumerate(units):
        runs = {position: runs.get(position - 1, place) for position in positions.get(unit, ())}
        for start in set(runs.values()):
            longest = max(longest, _terms(units[start : place + 1]))
    return longest


def _units(normal: str) -> list[str]:
    """Split a normalised text into words, and runs of unsegmented scripts into characters."""
    return [unit for word in words_of(normal) for unit in _UNITS.findall(word)]


def _terms(units: Sequence[str]) -> int:
    """Count the terms of a run of units."""
    characters = sum(len(unit) == 1 and unsegmented.RUN.match(unit) is not None for unit in units)
    return len(units) - characters + math.ceil(characters / _CHARACTERS_PER_TERM)
