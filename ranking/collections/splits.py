"""Which queries of a collection are tested, and which may be labelled and learned from: never the same.

Judgements of a split of its own are tested whole. Where there is one set of judgements only, the judged queries are
divided half and half by a hash of their id: one half to label, with its judgements for supervised controls, the other
to test; `collection.use` gives all of them to one side. Without judgements all queries can be labelled, and none is tested.
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
"""What judged queries are used for."""


@dataclass
class Judgements:
    """qrels: {query_id: {doc_id: grade}}. where: names them in messages. whole: all of their queries are tested.

    log_qrels: of other queries, for supervised controls.
    """

    qrels: Qrels
    where: str
    whole: bool
    log_qrels: Qrels = field(default_factory=dict)


def assembled(
    name: str, fingerprint: str, documents: list[Document], queries: Sequence[Query], judgements: Judgements | None
) -> Collection:
    """Put a collection together. Raises InputError where no query is left to test, or the judgements are of other documents."""
    empty = sum(not document.content.strip() for document in documents)
    notes = [f"{empty:,} documents without text are never retrieved"] if empty else []
    if judgements is None:
        notes.append("no qrels are there: labels can be made and learned from, but nothing measured")
        return Collection(name, fingerprint, documents, log=list(queries), test=[], qrels={}, notes=notes)
    qrels = judgements.qrels
    lacking = _judged_without_text(qrels, {document.doc_id for document in documents}, judgements.where)
    known = {query.query_id for query in queries}
    tested = {query_id for query_id in qrels if query_id in known and (judgements.whole or is_test_half(query_id))}
    if unknown := len(qrels.keys() - known):
        notes.append(f"{unknown:,} judged queries have no text and are left out")
    log_qrels = judgements.log_qrels if judgements.whole else qrels
    test = [query for query in queries if query.query_id in tested]
    if not test:
        raise InputError(f"{judgements.where}: no judged query is left to test")
    if lacking:
        notes.append(
            f"{lacking:,} judged documents are not in the corpus: they count in the ideal ranking, and are never found"
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
    """Assign all judged queries to labelling or to testing, as `collection.use` says."""
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
    """Whether a query belongs to the half that is tested; the same on every machine and for ever."""
    return hashlib.sha256(query_id.encode("utf-8")).digest()[0] % 2 == 1


def _judged_without_text(qrels: Qrels, doc_ids: set[str], where: str) -> int:
    """Count judged documents that the corpus lacks. Raises InputError where it lacks them all: the ids are of something else."""
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    if not judged & doc_ids:
        raise InputError(
            f"{where}: none of its {len(judged):,} documents is in the corpus, {min(judged)!r} for one; the ids must be the same"
        )
    return len(judged - doc_ids)
