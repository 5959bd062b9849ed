"""Check judgements and runs. Problems that make results misleading are errors; others become notes with counts."""

from __future__ import annotations

from collections.abc import Mapping, Set

from ranking.errors import InputError

Qrels = Mapping[str, Mapping[str, int]]
RankedLists = Mapping[str, Mapping[str, float]]


def check_qrels(qrels: Qrels) -> list[str]:
    """Check the judgements of the test queries, and return a note about queries without relevant documents.

    Raises:
        InputError: No query has a relevant document, so all measures would be 0.
    """
    without = [query_id for query_id, grades in qrels.items() if not any(grade > 0 for grade in grades.values())]
    if len(without) == len(qrels):
        raise InputError(
            f"judgements: none of the {len(qrels):,} test queries has a relevant document, so every measure would be 0"
        )
    if not without:
        return []
    return [
        f"{len(without):,} of {len(qrels):,} test queries have no relevant document ({_examples(without)}); every "
        "system scores 0 on them, as in ir-measures"
    ]


def check_run(name: str, run: RankedLists, qrels: Qrels, doc_ids: Set[str]) -> list[str]:
    """Check another system's run against the judgements and the collection, and return notes about problems.

    Args:
        name: Name of the run, for messages.
        run: The run.
        qrels: Judgements of the test queries.
        doc_ids: Document ids of the collection.

    Raises:
        InputError: The run has no query in common with the judgements, or no document that is in the collection or
            judged.
    """
    common = [query_id for query_id in run if query_id in qrels]
    if not common:
        raise InputError(
            f"run {name!r}: none of its {len(run):,} queries ({_examples(list(run))}) is among the {len(qrels):,} test "
            f"queries ({_examples(list(qrels))}); use the collection's query ids"
        )
    notes = []
    if len(common) < len(run):
        notes.append(
            f"run {name!r}: {len(run) - len(common):,} of its {len(run):,} queries are not test queries and are ignored"
        )
    missing = [query_id for query_id in qrels if query_id not in run]
    if missing:
        notes.append(
            f"run {name!r}: has no results for {len(missing):,} of {len(qrels):,} test queries ({_examples(missing)}); "
            "they count as 0"
        )
    ranked = {doc_id for query_id in common for doc_id in run[query_id]}
    unknown = {
        doc_id
        for doc_id in ranked
        if doc_id not in doc_ids and not any(doc_id in qrels[query_id] for query_id in common)
    }
    if len(unknown) == len(ranked):
        raise InputError(
            f"run {name!r}: none of its {len(ranked):,} documents ({_examples(sorted(ranked))}) is in the collection; "
            "use the collection's document ids"
        )
    if unknown:
        notes.append(
            f"run {name!r}: {len(unknown):,} of its {len(ranked):,} documents are not in the collection "
            f"({_examples(sorted(unknown))})"
        )
    return notes


def check_ties(name: str, run: RankedLists, depth: int = 10) -> list[str]:
    """Return a note if tied scores affect the top `depth` ranks."""
    tied = [query_id for query_id, scores in run.items() if _is_tied(scores, depth)]
    if not tied:
        return []
    return [
        f"{name}: {len(tied):,} queries have tied scores in the top {depth + 1}; ties are broken as in trec_eval, by "
        "descending document id"
    ]


def _is_tied(scores: Mapping[str, float], depth: int) -> bool:
    """Return whether two of the highest depth + 1 scores are equal."""
    head = sorted(scores.values(), reverse=True)[: depth + 1]
    return len(set(head)) < len(head)


def _examples(ids: list[str]) -> str:
    """Format up to three ids as examples."""
    return ", ".join(repr(one) for one in ids[:3]) + (", ..." if len(ids) > 3 else "")
