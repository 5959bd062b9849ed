"""Long-tail selection: which queries of the log the teacher labels.

That RRADistill samples long-tail queries by length, complexity of phrasing and rarity is known. How each is
measured and how they go together is this project's own: three parts from 0 to 1, their weighted mean, and
thresholds of the run file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

from ranking.records import Rejection, SelectedQuery
from ranking.selection.near_duplicates import CountedQuery, deduplication_key
from ranking.selection.phrasing import complexity
from ranking.selection.query_text import count_terms, normalise
from ranking.selection.settings import LongTailSettings, QuerySettings

STAGE = "queries"
Kind = Literal["no words", "test questions", "too frequent", "too short", "low score", "not sampled", "duplicate"]


@dataclass(frozen=True)
class Exclusion:
    """Why a query is not selected: the kind, to count by, and the reason in full."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Selection:
    """The choice among the counted queries of one log.

    searches: the sum of all frequencies. tested: fold keys of the test questions, which must not be learned.
    last_lot: the highest lot that is still sampled; None for all.
    """

    settings: QuerySettings
    searches: int
    tested: frozenset[str]
    last_lot: str | None = None

    def judge(self, query: CountedQuery) -> SelectedQuery | Exclusion:
        """Score a query and select it, or say why it is left out."""
        normal = normalise(query.text)
        if not normal:
            return Exclusion("no words", "there are no words in it")
        if deduplication_key(normal) in self.tested:
            return Exclusion("test questions", "it asks for the same as a test question")
        scored = score(query, self.searches, self.settings.long_tail)
        return why_not(scored, self.settings.long_tail) or self._unlucky(query) or scored

    def lot_of(self, query: CountedQuery) -> str:
        """Draw a query's lot: it hangs on the seed and the query alone, not on the others or their order."""
        return hashlib.sha256(f"{self.settings.seed}\n{query.query_id}".encode()).hexdigest()

    def _unlucky(self, query: CountedQuery) -> Exclusion | None:
        if self.last_lot is None or self.lot_of(query) <= self.last_lot:
            return None
        return Exclusion("not sampled", "not sampled")


def keys_of_questions(questions: list[str]) -> frozenset[str]:
    """The fold keys of test questions."""
    return frozenset(deduplication_key(normalise(text)) for text in questions)


def score(query: CountedQuery, searches: int, settings: LongTailSettings) -> SelectedQuery:
    """Work out the parts of a query's score, each 0 to 1, and their weighted mean.

        length     = (terms - 1) / (full_length - 1), at most 1
        complexity = see `ranking.selection.phrasing`
        rarity     = -log2(frequency / searches) / log2(searches): 1 for a query that was asked once

    searches: the sum of the frequencies of the whole log.
    """
    terms = count_terms(normalise(query.text))
    parts = {
        "length": min(1.0, (terms - 1) / (settings.full_length - 1)),
        "complexity": complexity(query.text),
        "rarity": 1 - math.log2(query.frequency) / math.log2(searches) if searches > 1 else 1.0,
    }
    weights = settings.weights.model_dump()
    return SelectedQuery(
        query_id=query.query_id,
        text=query.text,
        frequency=query.frequency,
        duplicates=[form.text for form in query.duplicates],
        terms=terms,
        **parts,
        score=sum(weights[name] * part for name, part in parts.items()) / sum(weights.values()),
    )


def why_not(query: SelectedQuery, settings: LongTailSettings) -> Exclusion | None:
    """Say by which threshold a query is not long-tail; None where it is."""
    if query.frequency > settings.max_frequency:
        return Exclusion("too frequent", f"frequency {query.frequency} is above {settings.max_frequency}")
    if query.terms < settings.min_terms:
        return Exclusion("too short", f"{query.terms} terms are fewer than {settings.min_terms}")
    if query.score < settings.min_score:
        return Exclusion("low score", f"score {query.score:.3f} is below {settings.min_score:g}")
    return None


def rejections(query: CountedQuery, left: Exclusion | None) -> list[tuple[Kind, Rejection]]:
    """The rows of rejected/ that a query brings: itself where it is left out, and each form duplicates into it."""
    found: list[tuple[Kind, Rejection]] = []
    if left is not None:
        found.append((left.kind, Rejection(query_id=query.query_id, stage=STAGE, reason=left.reason, raw=query.text)))
    for form in query.duplicates:
        reason = f"duplicate of {query.query_id}"
        found.append(("duplicate", Rejection(query_id=form.query_id, stage=STAGE, reason=reason, raw=form.text)))
    return found
