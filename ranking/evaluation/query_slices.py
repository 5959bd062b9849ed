"""Divide the test queries into slices by four criteria, and average measures over each slice.

The criteria are length, frequency, form (question or keywords) and term overlap with the relevant documents.
The slice boundaries are this project's choice. Empty slices are omitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ranking.collections.collection import Collection
from ranking.evaluation.measures import mean
from ranking.evaluation.results import QuerySlice
from ranking.languages import ENGLISH, analyzer_for
from ranking.records import Query
from ranking.selection.phrasing import PLAIN, is_question
from ranking.selection.query_text import count_terms, normalise, words_of

_HIGH_OVERLAP = 0.5


def slice_queries(collection: Collection) -> dict[tuple[str, str], list[str]]:
    """Assign the test queries to slices.

    Returns:
        {(criterion, slice name): query ids}. Each query is in one slice per criterion. Frequency is left out if no
        query occurs more than once.
    """
    relevant = {
        query_id: [doc_id for doc_id, grade in grades.items() if grade > 0]
        for query_id, grades in collection.qrels.items()
    }
    needed = {doc_id for doc_ids in relevant.values() for doc_id in doc_ids}
    words = {
        document.doc_id: _terms(document.content, collection.language)
        for document in collection.documents
        if document.doc_id in needed
    }

    plain = PLAIN if collection.language == ENGLISH else frozenset()

    def overlap(query: Query) -> str:
        """Return the name of a query's slice by term overlap.

        Overlap is the share of the query's terms that occur in a relevant document, averaged over these documents.
        """
        query_words = _terms(query.text, collection.language) - plain
        shares = [_share(query_words, words[doc_id]) for doc_id in relevant.get(query.query_id, []) if doc_id in words]
        if not shares:
            return "unknown (no text)"
        return (
            "high term overlap (half or more)"
            if sum(shares) / len(shares) >= _HIGH_OVERLAP
            else "low term overlap (less than half)"
        )

    properties: dict[str, Callable[[Query], str]] = {
        "length": _length,
        "form": lambda query: _form(query, collection.language),
        "relevant documents": overlap,
    }
    if any(query.frequency > 1 for query in collection.test):
        properties["frequency"] = _frequency
    slices: dict[tuple[str, str], list[str]] = {}
    for by, slice_name in properties.items():
        for query in collection.test:
            slices.setdefault((by, slice_name(query)), []).append(query.query_id)
    return {key: slices[key] for by in properties for key in sorted(slices) if key[0] == by}


def average_by_slice(
    slices: Mapping[tuple[str, str], Sequence[str]], values: Mapping[str, Mapping[str, float]]
) -> list[QuerySlice]:
    """Average one measure of each system over each slice.

    Args:
        slices: {(criterion, slice name): query ids}, from `slice_queries`.
        values: {system: {query_id: value}} of the measure.
    """
    return [
        QuerySlice(
            by=by,
            name=name,
            queries=len(ids),
            values={key: _mean_of(per_query, ids) for key, per_query in values.items()},
        )
        for (by, name), ids in slices.items()
    ]


def _mean_of(values: Mapping[str, float], ids: Iterable[str]) -> float:
    """Average a measure over the queries with the given ids."""
    return mean({query_id: values[query_id] for query_id in ids})


def _terms(text: str, language: str) -> set[str]:
    """Return the distinct words of an English text, or the terms of a text in another language."""
    return set(words_of(normalise(text)) if language == ENGLISH else analyzer_for(language).terms(text))


def _share(query_words: set[str], words: set[str]) -> float:
    """Compute the share of a query's words that occur in a document."""
    return len(query_words & words) / len(query_words) if query_words else 0.0


def _length(query: Query) -> str:
    """Return the name of a query's slice by length in terms."""
    terms = count_terms(normalise(query.text))
    return "1 to 3 terms" if terms <= 3 else "4 to 6 terms" if terms <= 6 else "7 terms or more"


def _frequency(query: Query) -> str:
    """Return the name of a query's slice by frequency in the query log."""
    return "once" if query.frequency == 1 else "2 to 9 times" if query.frequency < 10 else "10 times or more"


def _form(query: Query, language: str) -> str:
    """Return the name of a query's slice by form: question or keywords."""
    return "questions" if is_question(query.text, language) else "keywords"
