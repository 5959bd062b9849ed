"""Classes of queries: long or short, rare or frequent, questions or keywords, in the documents' words or in others.

Where the classes begin is this project's choice. A class without a query is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ranking.collections.collection import Collection
from ranking.evaluation.measures import mean
from ranking.evaluation.results import QuerySlice
from ranking.records import Query
from ranking.selection.phrasing import PLAIN, is_question
from ranking.selection.query_text import count_terms, normalise, words_of

_HIGH_OVERLAP = 0.5


def classified(collection: Collection) -> dict[tuple[str, str], list[str]]:
    """The test queries of each class, {(by, name): query ids}."""
    relevant = {
        query_id: [doc_id for doc_id, grade in grades.items() if grade > 0]
        for query_id, grades in collection.qrels.items()
    }
    wanted = {doc_id for doc_ids in relevant.values() for doc_id in doc_ids}
    words = {
        document.doc_id: set(words_of(normalise(document.content)))
        for document in collection.documents
        if document.doc_id in wanted
    }

    def overlap(query: Query) -> str:
        shares = [_share(query.text, words[doc_id]) for doc_id in relevant.get(query.query_id, []) if doc_id in words]
        if not shares:
            return "unknown: no relevant text is here"
        return (
            "in their words (half or more)"
            if sum(shares) / len(shares) >= _HIGH_OVERLAP
            else "in other words (less than half)"
        )

    by: dict[str, Callable[[Query], str]] = {"length": _length, "form": _form, "relevant documents": overlap}
    if any(query.frequency > 1 for query in collection.test):
        by["frequency"] = _frequency
    classes: dict[tuple[str, str], list[str]] = {}
    for kind, name_of in by.items():
        for query in collection.test:
            classes.setdefault((kind, name_of(query)), []).append(query.query_id)
    return {key: classes[key] for kind in by for key in sorted(classes) if key[0] == kind}


def over_classes(
    classes: Mapping[tuple[str, str], Sequence[str]], values: Mapping[str, Mapping[str, float]]
) -> list[QuerySlice]:
    """Average each system over each class. values: {system: {query_id: value}}, of one measure."""
    return [
        QuerySlice(
            by=by, name=name, queries=len(ids), values={key: _mean_of(held, ids) for key, held in values.items()}
        )
        for (by, name), ids in classes.items()
    ]


def _mean_of(values: Mapping[str, float], ids: Iterable[str]) -> float:
    return mean({query_id: values[query_id] for query_id in ids})


def _share(text: str, words: set[str]) -> float:
    """The share of a query's words, those that say something, that a document holds."""
    asked = set(words_of(normalise(text))) - PLAIN
    return len(asked & words) / len(asked) if asked else 0.0


def _length(query: Query) -> str:
    terms = count_terms(normalise(query.text))
    return "1 to 3 terms" if terms <= 3 else "4 to 6 terms" if terms <= 6 else "7 terms or more"


def _frequency(query: Query) -> str:
    return "once" if query.frequency == 1 else "2 to 9 times" if query.frequency < 10 else "from 10 times up"


def _form(query: Query) -> str:
    return "questions" if is_question(query.text) else "keywords"
