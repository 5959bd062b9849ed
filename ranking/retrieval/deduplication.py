"""Remove duplicate documents from candidate lists."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ranking.records import Candidate


def deduplicate(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Remove duplicates: candidates whose title and text differ only in case, white space or Unicode form (NFKC).

    The first of several duplicates is kept.

    Args:
        candidates: Candidates of one query, best first.

    Returns:
        The remaining candidates, with new ranks from 1. `duplicates` of a candidate has the ids of its removed
        duplicates.
    """
    unique: dict[str, Candidate] = {}
    for candidate in candidates:
        key = " ".join(unicodedata.normalize("NFKC", f"{candidate.title}\n{candidate.text}").casefold().split())
        first = unique.get(key)
        unique[key] = (
            first.model_copy(update={"duplicates": [*first.duplicates, candidate.doc_id]}) if first else candidate
        )
    return [candidate.model_copy(update={"rank": rank}) for rank, candidate in enumerate(unique.values(), start=1)]
