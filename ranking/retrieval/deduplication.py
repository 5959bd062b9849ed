"""Documents of a list that say the same: the best one stands for all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ranking.records import Candidate


def deduplicate(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Keep the first of the candidates whose title and text are equal but for case, white space and Unicode form.

    candidates: best first. The kept one names the others in `duplicates`; ranks are counted anew.
    """
    kept: dict[str, Candidate] = {}
    for candidate in candidates:
        key = " ".join(unicodedata.normalize("NFKC", f"{candidate.title}\n{candidate.text}").casefold().split())
        first = kept.get(key)
        kept[key] = (
            first.model_copy(update={"duplicates": [*first.duplicates, candidate.doc_id]}) if first else candidate
        )
    return [candidate.model_copy(update={"rank": rank}) for rank, candidate in enumerate(kept.values(), start=1)]
