"""Divide the queries of a collection into test queries and queries that can be labelled. The two never overlap.

If the judgements belong to a named split, all queries of that split become test queries. If there is only one set of
judgements, its queries are divided into halves by a hash of their id. One half becomes test queries. The other half can
be labelled, and its judgements are available to supervised baselines. The setting `collection.use` can assign all
judged queries to labelling or to testing instead. Without judgements, all queries can be labelled and there are no test
queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of

Qrels = dict[str, dict[str, int]]
Use = Literal["both", "label", "test"]
"""What judged queries are used for: the values of the setting `collection.use`."""


@dataclass
class Judgements:
    """Judgements of a collection.

    Attributes:
        qrels: {query_id: {doc_id: grade}}.
        where: File or dataset that the judgements come from, for error messages.
        whole: If True, all judged queries become test queries. If False, they are divided into a test half and a half
            that can be labelled.
        log_qrels: Judgements of queries that can be labelled, for supervised baselines.
    """

    qrels: Qrels
    where: str
    whole: bool
    log_qrels: Qrels = field(default_factory=dict)


def assembled(
    name: str, fingerprint: str, documents: list[Document], queries: Sequence[Query], judgements: Judgements | None
) -> Collection:
    """Create a collection and divide its queries into test queries and queries that can be labelled.

    Args:
        name: Name of the collection.
        fingerprint: Hash of the content.
        documents: All documents.
        queries: All queries.
        judgements: Judgements, or None if there are none.

    Raises:
        InputError: There are judgements, but no test query results from them, or no judged document is in the corpus.
    """
    empty = sum(not document.content.strip() for document in documents)
    notes = [f"{empty:,} documents have no text and are never retrieved"] if empty else []
    if judgements is None:
        notes.append("no qrels: students can be trained, but not evaluated")
        return Collection(name, fingerprint, documents, log=list(queries), test=[], qrels={}, notes=notes)
    qrels = judgements.qrels
    missing = _count_missing_documents(qrels, {document.doc_id for document in documents}, judgements.where)
    known = {query.query_id for query in queries}
    tested = {query_id for query_id in qrels if query_id in known and (judgements.whole or is_test_half(query_id))}
    if unknown := len(qrels.keys() - known):
        notes.append(f"{unknown:,} judged queries have no text and are dropped")
    log_qrels = judgements.log_qrels if judgements.whole else qrels
    test = [query for query in queries if query.query_id in tested]
    if not test:
        raise InputError(f"{judgements.where}: there is no judged query to test")
    if missing:
        notes.append(
            f"{missing:,} judged documents are not in the corpus; they count in the ideal ranking, "
            "but are never retrieved"
        )
    return Collection(
        name=name,
        fingerprint=fingerprint,
        documents=documents,
        log=[query for query in queries if query.query_id not in tested],
        test=test,
        qrels={query_id: qrels[query_id] for query_id in sorted(tested)},
        notes=notes,
        log_qrels={query_id: grades for query_id, grades in sorted(log_qrels.items()) if query_id not in tested},
        halved=not judgements.whole,
    )


def used_for(collection: Collection, use: Use) -> Collection:
    """Return a collection whose judged queries are used as `collection.use` says.

    Args:
        collection: The collection as read.
        use: "both" keeps the division into test queries and queries that can be labelled. "label" moves all test
            queries to the queries that can be labelled. "test" moves the half that can be labelled to the test queries,
            if a single set of judgements was divided.
    """
    if use == "both":
        return collection
    fingerprint = fingerprint_of(collection.fingerprint, use)
    if use == "label":
        judged = {**collection.log_qrels, **collection.qrels}
        log = [*collection.log, *collection.test]
        return replace(collection, fingerprint=fingerprint, log=log, test=[], qrels={}, log_qrels=judged, halved=False)
    if not collection.halved:
        return replace(collection, fingerprint=fingerprint)
    moved = collection.log_qrels
    return replace(
        collection,
        fingerprint=fingerprint,
        log=[query for query in collection.log if query.query_id not in moved],
        test=[*collection.test, *(query for query in collection.log if query.query_id in moved)],
        qrels=dict(sorted({**collection.qrels, **moved}.items())),
        log_qrels={},
        halved=False,
    )


def is_test_half(query_id: str) -> bool:
    """Return whether a query belongs to the test half when judged queries are divided.

    The result depends only on the query id, so it is the same in every run.
    """
    return hashlib.sha256(query_id.encode("utf-8")).digest()[0] % 2 == 1


def _count_missing_documents(qrels: Qrels, doc_ids: set[str], where: str) -> int:
    """Count the judged documents that are not in the corpus.

    Raises:
        InputError: No judged document is in the corpus, so the ids do not match.
    """
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    if not judged & doc_ids:
        raise InputError(
            f"{where}: none of its {len(judged):,} documents is in the corpus, for example {min(judged)!r}; "
            "the judgements must use the document ids of the corpus"
        )
    return len(judged - doc_ids)
