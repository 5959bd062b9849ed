"""Collections of the ir_datasets package (optional: pip install 'rradistill[ir-datasets]'), by their id.

Its judged queries are tested, all of them; queries without judgements, where it has some, can be labelled. Most ids name
judged queries only: give the queries to label by `queries.log`. The package downloads what it lacks, and holds licences.
"""

from __future__ import annotations

from typing import Any

from ranking.collections.collection import Collection
from ranking.collections.splits import Judgements, Qrels, assembled
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of


def read(name: str) -> Collection:
    """Read a dataset into memory. Raises InputError where the package is missing, or the dataset unknown or without documents."""
    dataset = _loaded(name)
    for has, what in ((dataset.has_docs(), "documents"), (dataset.has_queries(), "queries")):
        if not has:
            raise InputError(f"collection.source ir_datasets:{name}: the dataset has no {what}")
    try:
        documents = [
            Document(doc_id=one.doc_id, title="", text=" ".join(one.default_text().split()))
            for one in dataset.docs_iter()
        ]
        queries = [
            Query(query_id=one.query_id, text=" ".join(one.default_text().split())) for one in dataset.queries_iter()
        ]
        judgements = _judgements(dataset, name) if dataset.has_qrels() else None
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"collection.source ir_datasets:{name}: cannot be read ({' '.join(str(error).split())[:200]})"
        ) from None
    contents = [
        [(document.doc_id, document.text) for document in documents],
        [(query.query_id, query.text) for query in queries],
    ]
    fingerprint = fingerprint_of("ir_datasets", name, contents, judgements.qrels if judgements else None)
    return assembled(name, fingerprint, documents, queries, judgements)


def _loaded(name: str) -> Any:
    try:
        import ir_datasets
    except ImportError:
        raise InputError(
            "collection.source ir_datasets: the package is not installed; pip install ir-datasets"
        ) from None
    try:
        return ir_datasets.load(name)
    except KeyError:
        raise InputError(
            f"collection.source ir_datasets:{name}: there is no such dataset; ids stand on ir-datasets.com"
        ) from None


def _judgements(dataset: Any, name: str) -> Judgements:
    qrels: Qrels = {}
    for one in dataset.qrels_iter():
        qrels.setdefault(one.query_id, {})[one.doc_id] = int(one.relevance)
    return Judgements(qrels, f"ir_datasets:{name}", whole=True)
