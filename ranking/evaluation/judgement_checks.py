"""What is odd about judgements and runs: an error where a number would mislead, a line with counts where it should be known."""

from __future__ import annotations

from collections.abc import Mapping, Set

from ranking.errors import InputError

Qrels = Mapping[str, Mapping[str, int]]
RankedLists = Mapping[str, Mapping[str, float]]


def check_qrels(qrels: Qrels) -> list[str]:
    """Notes on judgements. Raises InputError where no query has a relevant document: all measures would be 0."""
    without = [query_id for query_id, grades in qrels.items() if not any(grade > 0 for grade in grades.values())]
    if len(without) == len(qrels):
        raise InputError(
            f"judgements: none of the {len(qrels):,} test queries has a relevant document, so every measure would be 0"
        )
    if not without:
        return []
    return [
        f"{len(without):,} of {len(qrels):,} test queries have no relevant document ({_some(without)}); every system has 0 there, "
        "as with ir-measures"
    ]


def check_run(name: str, run: RankedLists, qrels: Qrels, doc_ids: Set[str]) -> list[str]:
    """Notes on a run that came from elsewhere.

    doc_ids: of the collection. Raises InputError where it shares no query with the judgements, or none of its documents
    is of the collection or judged.
    """
    common = [query_id for query_id in run if query_id in qrels]
    if not common:
        raise InputError(
            f"run {name!r}: none of its {len(run):,} queries ({_some(list(run))}) is among the {len(qrels):,} test queries "
            f"({_some(list(qrels))}); the ids must be the same"
        )
    notes = []
    if len(common) < len(run):
        notes.append(
            f"run {name!r}: {len(run) - len(common):,} of its {len(run):,} queries are not tested here, and left out"
        )
    missing = [query_id for query_id in qrels if query_id not in run]
    if missing:
        notes.append(
            f"run {name!r}: has nothing for {len(missing):,} of {len(qrels):,} test queries ({_some(missing)}); they count 0"
        )
    found = {doc_id for query_id in common for doc_id in run[query_id]}
    unknown = {
        doc_id
        for doc_id in found
        if doc_id not in doc_ids and not any(doc_id in qrels[query_id] for query_id in common)
    }
    if len(unknown) == len(found):
        raise InputError(
            f"run {name!r}: none of its {len(found):,} documents ({_some(sorted(found))}) is in the collection; the ids must be the same"
        )
    if unknown:
        notes.append(
            f"run {name!r}: {len(unknown):,} of its {len(found):,} documents are not in the collection ({_some(sorted(unknown))})"
        )
    return notes


def check_ties(name: str, run: RankedLists, depth: int = 10) -> list[str]:
    """A note where equal scores decide who stands in the first places."""
    tied = [query_id for query_id, scores in run.items() if _is_tied(scores, depth)]
    if not tied:
        return []
    return [
        f"{name}: equal scores among the first {depth + 1} of {len(tied):,} queries; as in trec_eval, the document whose id comes later "
        "in the alphabet stands first"
    ]


def _is_tied(scores: Mapping[str, float], depth: int) -> bool:
    head = sorted(scores.values(), reverse=True)[: depth + 1]
    return len(set(head)) < len(head)


def _some(ids: list[str]) -> str:
    """Three ids for an example."""
    return ", ".join(repr(one) for one in ids[:3]) + (", ..." if len(ids) > 3 else "")
