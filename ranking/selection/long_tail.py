"""Select the long-tail queries of the log that the teacher labels.

RRADistill samples long-tail queries by length, complexity of phrasing and rarity. How it measures and combines these
three is not published. This implementation measures each of them from 0 to 1 and takes their weighted mean as the
score. Thresholds in the run file decide which queries are selected.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

from ranking.languages import ENGLISH
from ranking.records import Rejection, SelectedQuery
from ranking.selection.near_duplicates import CountedQuery, deduplication_key
from ranking.selection.phrasing import complexity
from ranking.selection.query_text import count_terms, normalise
from ranking.selection.selection_settings import LongTailSettings, QuerySettings

STAGE = "queries"
Kind = Literal["no words", "test questions", "too frequent", "too short", "low score", "not sampled", "duplicate"]


@dataclass(frozen=True)
class Exclusion:
    """The reason why a query is not selected.

    Attributes:
        kind: Category of the reason, by which excluded queries are counted.
        reason: Full reason, as written to the folder rejected/.
    """

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Selection:
    """Decides for each query of a log whether it is selected.

    Attributes:
        settings: Thresholds, weights of the score, and sample size.
        searches: Sum of the frequencies of all queries in the log.
        tested: Deduplication keys of the test questions. Queries with one of these keys are near-duplicates of a test
            question and must not become training data.
        max_sampling_key: Largest `sampling_key` of the queries in the sample. None disables sampling.
        language: Language of the queries.
    """

    settings: QuerySettings
    searches: int
    tested: frozenset[str]
    max_sampling_key: str | None = None
    language: str = ENGLISH

    def classify(self, query: CountedQuery) -> SelectedQuery | Exclusion:
        """Return the query with its score if it is selected, or else the reason why it is excluded."""
        normal = normalise(query.text)
        if not normal:
            return Exclusion("no words", "the query has no words")
        if deduplication_key(normal, self.language) in self.tested:
            return Exclusion("test questions", "near-duplicate of a test question")
        scored = score(query, self.searches, self.settings.long_tail, self.language)
        long_tail = self.settings.long_tail
        return threshold_exclusion(scored, long_tail) or self._sampling_exclusion(query) or scored

    def sampling_key(self, query: CountedQuery) -> str:
        """Return the pseudorandom key of a query. The sample consists of the queries with the smallest keys.

        The key depends only on the seed and the query id, not on other queries or their order.
        """
        return hashlib.sha256(f"{self.settings.seed}\n{query.query_id}".encode()).hexdigest()

    def _sampling_exclusion(self, query: CountedQuery) -> Exclusion | None:
        """Return an exclusion if the query is not in the sample, None otherwise."""
        if self.max_sampling_key is None or self.sampling_key(query) <= self.max_sampling_key:
            return None
        return Exclusion("not sampled", "not sampled")


def keys_of_questions(questions: list[str], language: str = ENGLISH) -> frozenset[str]:
    """Return the deduplication keys of test questions."""
    return frozenset(deduplication_key(normalise(text), language) for text in questions)


def score(query: CountedQuery, searches: int, settings: LongTailSettings, language: str = ENGLISH) -> SelectedQuery:
    """Compute the score of a query: the weighted mean of three parts, each from 0 to 1.

        length     = (terms - 1) / (full_length - 1), at most 1
        complexity = see `ranking.selection.phrasing`
        rarity     = -log2(frequency / searches) / log2(searches), 1 for a query that was searched once

    Args:
        query: The query.
        searches: Sum of the frequencies of all queries in the log.
        settings: `full_length` and the weights.
        language: Language of the query.
    """
    terms = count_terms(normalise(query.text))
    parts = {
        "length": min(1.0, (terms - 1) / (settings.full_length - 1)),
        "complexity": complexity(query.text, language),
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


def threshold_exclusion(query: SelectedQuery, settings: LongTailSettings) -> Exclusion | None:
    """Return an exclusion for the first threshold that a query does not meet, or None if it meets all of them."""
    if query.frequency > settings.max_frequency:
        return Exclusion("too frequent", f"frequency {query.frequency} is above {settings.max_frequency}")
    if query.terms < settings.min_terms:
        return Exclusion("too short", f"{query.terms} terms are fewer than {settings.min_terms}")
    if query.score < settings.min_score:
        return Exclusion("low score", f"score {query.score:.3f} is below {settings.min_score:g}")
    return None


def rejections(query: CountedQuery, exclusion: Exclusion | None) -> list[tuple[Kind, Rejection]]:
    """Return the rejections of a query, to be written to the folder rejected/.

    Args:
        query: The query.
        exclusion: Why the query is excluded. None if it is selected.

    Returns:
        (kind, rejection) pairs: one for the query if it is excluded, and one for each near-duplicate merged into it.
    """
    rows: list[tuple[Kind, Rejection]] = []
    if exclusion is not None:
        rejection = Rejection(query_id=query.query_id, stage=STAGE, reason=exclusion.reason, raw=query.text)
        rows.append((exclusion.kind, rejection))
    for form in query.duplicates:
        reason = f"duplicate of {query.query_id}"
        rows.append(("duplicate", Rejection(query_id=form.query_id, stage=STAGE, reason=reason, raw=form.text)))
    return rows
