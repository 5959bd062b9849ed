"""Divide the queries of a collection into test queries and queries that can be labelled. The two never overlap.

If the judgements belong to a named split, all queries of that split become test queries. If there is only one set of
judgements, its queries are divided into halves by a hash of their id. One half becomes test queries. The other half can
be labelled, and its judgements are available to supervised baselines. The setting `collection.use` can assign all
judged queries to labelling or to testing instead. Without judgements, all queries can be labelled and there are no test
queries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ranking.collections.collection import Collection
from ranking.collections.qrels import Qrels
from ranking.errors import InputError
from ranking.languages import ENGLISH
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of

Use = Literal["both", "label", "test"]
"""What judged queries are used for: the values of the setting `collection.use`."""

NO_QRELS = "no qrels: students can be trained, but not evaluated"
"""Note of a collection without judgements."""


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


def assemble_collection(
    name: str,
    fingerprint: str,
    documents: list[Document],
    queries: Sequence[Query],
    judgements: Judgements | None,
    notes: Sequence[str] = (),
) -> Collection:
    """Create a collection and divide its queries into test queries and queries that can be labelled.

    Judgements of unknown queries are left out. The collection's notes state their number.

    Args:
        name: Name of the collection.
        fingerprint: Hash of the content.
        documents: All documents.
        queries: All queries.
        judgements: Judgements, or None if there are none.
        notes: Remarks about the files.

    Raises:
        InputError: There are judgements, but no judged query is known or no judged document is in the corpus.
    """
    empty = sum(not document.content.strip() for document in documents)
    remarks = [*notes, *([f"{empty:,} documents have no text and are never retrieved"] if empty else [])]
    if judgements is None:
        remarks.append(NO_QRELS)
        return Collection(name, fingerprint, documents, log=list(queries), test=[], qrels={}, notes=remarks)
    known = {query.query_id for query in queries}
    qrels = _of_known_queries(judgements.qrels, known, judgements.where, remarks)
    log_qrels = _of_known_queries(judgements.log_qrels, known, "train", remarks) if judgements.whole else qrels
    if not qrels:
        raise InputError(
            f"{judgements.where}: none of its {len(judgements.qrels):,} queries is in the queries file, for example "
            f"{min(judgements.qrels)!r}; the judgements must use the query ids of the queries file"
        )
    missing = _count_missing_documents(qrels, {document.doc_id for document in documents}, judgements.where)
    tested = {query_id for query_id in qrels if judgements.whole or is_test_half(query_id)}
    if missing:
        remarks.append(
            f"{missing:,} judged documents are not in the corpus; they count in the ideal ranking, "
            "but are never retrieved"
        )
    return Collection(
        name=name,
        fingerprint=fingerprint,
        documents=documents,
        log=[query for query in queries if query.query_id not in tested],
        test=[query for query in queries if query.query_id in tested],
        qrels={query_id: qrels[query_id] for query_id in sorted(tested)},
        notes=remarks,
        log_qrels={query_id: grades for query_id, grades in sorted(log_qrels.items()) if query_id not in tested},
        halved=not judgements.whole,
    )


def used_for(collection: Collection, use: Use) -> Collection:
    """Return a collection whose judged queries are used as `collection.use` says.

    Args:
        collection: The collection as read.
        use: "both" keeps the division into test queries and queries that can be labelled, and notes its counts. "label"
            moves all test queries to the queries that can be labelled. "test" moves the half that can be labelled to
            the test queries, if a single set of judgements was divided.

    Raises:
        InputError: The judgements were divided, and no query is in the test half.
    """
    if use == "both":
        return _with_split_note(collection) if collection.halved else collection
    if use == "test" and not collection.halved:
        return collection
    fingerprint = fingerprint_of(collection.fingerprint, use)
    if use == "label":
        judged = {**collection.log_qrels, **collection.qrels}
        log = [*collection.log, *collection.test]
        return replace(collection, fingerprint=fingerprint, log=log, test=[], qrels={}, log_qrels=judged, halved=False)
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


def split_without_judgements(collection: Collection, size: int, eligible: Set[str] | None = None) -> Collection:
    """Move queries of a collection without any judgements to the test queries, for an evaluation by a judge alone.

    Args:
        collection: The collection. One with judgements is returned unchanged.
        size: Maximum number of test queries, which are those with the lowest hashes of their ids.
        eligible: Ids of the queries to choose from. None allows all.
    """
    if collection.test or collection.log_qrels:
        return collection
    ids = [query.query_id for query in collection.log if eligible is None or query.query_id in eligible]
    notes = [note for note in collection.notes if note != NO_QRELS]
    tested = set(sorted(ids, key=lambda query_id: hashlib.sha256(query_id.encode("utf-8")).digest())[:size])
    return replace(
        collection,
        fingerprint=fingerprint_of(collection.fingerprint, "tested without judgements", sorted(tested)),
        log=[query for query in collection.log if query.query_id not in tested],
        test=[query for query in collection.log if query.query_id in tested],
        qrels={query_id: {} for query_id in sorted(tested)},
        notes=[*notes, f"no qrels: {len(tested):,} queries are tested with the judge's grades only"],
    )


def in_language(collection: Collection, language: str) -> Collection:
    """Return a collection in a language.

    Every stage depends on the language, so the fingerprint contains it unless it is English.
    """
    if language == ENGLISH:
        return collection
    return replace(collection, fingerprint=fingerprint_of(collection.fingerprint, language), language=language)


def _with_split_note(collection: Collection) -> Collection:
    """Add a note with the sizes of the two halves of the judged queries."""
    tested, labelled = len(collection.test), len(collection.log_qrels)
    if not tested:
        raise InputError(
            f"{collection.name}: the only set of judgements is divided, but all of its {labelled:,} queries fall into "
            "the half to label; set collection.use: test to test all of them"
        )
    note = (
        f"judged queries are split: {tested:,} to test, {labelled:,} to label; collection.use: test tests all of them"
    )
    return replace(collection, notes=[note, *collection.notes])


def is_test_half(query_id: str) -> bool:
    """Return whether a query belongs to the test half when judged queries are divided.

    The result depends only on the query id, so it is the same in every run.
    """
    return hashlib.sha256(query_id.encode("utf-8")).digest()[0] % 2 == 1


def _of_known_queries(qrels: Qrels, known: set[str], where: str, notes: list[str]) -> Qrels:
    """Leave out the judgements of unknown queries. Appends their number to `notes`."""
    unknown = [query_id for query_id in qrels if query_id not in known]
    if unknown:
        judgements = sum(len(qrels[query_id]) for query_id in unknown)
        notes.append(
            f"{Path(where).name}: {judgements:,} judgements are left out; the queries file lacks their "
            f"{len(unknown):,} queries, for example {unknown[0]!r}"
        )
    return {query_id: grades for query_id, grades in qrels.items() if query_id in known}


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
