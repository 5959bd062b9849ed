"""Estimate position bias from joined clicks, and the relevance of every query's documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ranking.clicks.click_counts import ClickCounts, Floats, concatenate, counts_of
from ranking.clicks.click_join import JoinedClicks, QueryTally, counts_of_tallies
from ranking.clicks.click_relevance import debias
from ranking.clicks.click_settings import ClickSettings
from ranking.clicks.propensities import Propensities, by_em, harvest_propensities, several_positions
from ranking.records import DocumentClicks, QueryClicks

MAX_CELLS = 5_000_000
"""Maximum number of (query, document, position) cells to estimate propensities from: a random sample of the queries."""

METHODS = {"harvest": harvest_propensities, "em": by_em}
"""{name in the setting `clicks.method`: estimator}."""


@dataclass(frozen=True)
class PositionBias:
    """Impressions, clicks and propensities by position.

    Attributes:
        shown: Impressions, [depth].
        clicks: Clicks, [depth].
        propensities: Estimates by method.
    """

    shown: Floats
    clicks: Floats
    propensities: dict[str, Propensities]


def position_bias(joined: JoinedClicks, depth: int) -> PositionBias:
    """Estimate propensities with every method."""
    used: list[ClickCounts] = [counts_of([])]
    shown, clicks = np.zeros(depth), np.zeros(depth)
    for tallies in joined.tallies():
        counts, _ = counts_of_tallies(tallies)
        of_positions = counts.by_position(depth)
        shown, clicks = shown + of_positions[0], clicks + of_positions[1]
        if sum(len(part.pairs) for part in used) < MAX_CELLS:
            used.append(several_positions(counts))
    sample = concatenate(used)
    return PositionBias(shown, clicks, {name: estimate(sample, depth) for name, estimate in METHODS.items()})


def query_clicks(joined: JoinedClicks, propensities: Floats, settings: ClickSettings) -> Iterator[QueryClicks]:
    """Yield one row for every query, with the relevance of the documents that have enough impressions."""
    for tallies in joined.tallies():
        documents = _documents(tallies, propensities, settings)
        for query, tally in tallies.items():
            yield QueryClicks(query=query, exposures=tally.exposures, documents=documents.get(query, []))


def _documents(
    tallies: Mapping[str, QueryTally], propensities: Floats, settings: ClickSettings
) -> dict[str, list[DocumentClicks]]:
    """Return the documents with enough impressions, {query: documents}."""
    counts, pairs = counts_of_tallies(dict(tallies))
    found = debias(counts, propensities, settings.max_weight)
    documents: dict[str, list[DocumentClicks]] = {}
    for i in np.flatnonzero(found.examined >= settings.min_examined).tolist():
        query, doc_id = pairs[i]
        documents.setdefault(query, []).append(
            DocumentClicks(
                doc_id=doc_id,
                relevance=float(found.relevance[i]),
                shown=int(found.shown[i]),
                clicks=int(found.clicks[i]),
                examined=float(found.examined[i]),
            )
        )
    return documents
