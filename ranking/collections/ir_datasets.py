"""Read datasets of the ir_datasets package, which are named by their id.

The package is optional: pip install 'rradistill[ir-datasets]'. It downloads missing files and documents their licences.

All judged queries become test queries. Queries without judgements can be labelled. Most datasets only have judged
queries; set `queries.log` to a log with the queries to label.
"""

from __future__ import annotations

from typing import Any

from ranking.collections.collection import Collection
from ranking.collections.qrels import Qrels
from ranking.collections.splits import Judgements, assemble_collection
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of


def read(name: str) -> Collection:
    """Read a dataset into memory.

    Args:
        name: Id of the dataset in ir_datasets.

    Raises:
        InputError: The package is not installed, or the dataset is unknown, unreadable, or has no documents or queries.
    """
    dataset = _load(name)
    for present, content in ((dataset.has_docs(), "documents"), (dataset.has_queries(), "queries")):
        if not present:
            raise InputError(f"collection.source ir_datasets:{name}: the dataset has no {content}")
    try:
        documents = [
            Document(doc_id=document.doc_id, title="", text=" ".join(document.default_text().split()))
            for document in dataset.docs_iter()
        ]
        queries = [
            Query(query_id=query.query_id, text=" ".join(query.default_text().split()))
            for query in dataset.queries_iter()
        ]
        judgements = _judgements(dataset, name) if dataset.has_qrels() else None
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"collection.source ir_datasets:{name}: cannot read the dataset ({' '.join(str(error).split())[:200]})"
        ) from None
    contents = [
        [(document.doc_id, document.text) for document in documents],
        [(query.query_id, query.text) for query in queries],
    ]
    fingerprint = fingerprint_of("ir_datasets", name, contents, judgements.qrels if judgements else None)
    return assemble_collection(name, fingerprint, documents, queries, judgements)


def _load(name: str) -> Any:
    """Load a dataset. Raises InputError if the package is not installed or the id is unknown."""
    try:
        import ir_datasets
    except ImportError:
        raise InputError(
            "collection.source ir_datasets: the package is not installed; run pip install ir-datasets"
        ) from None
    try:
        return ir_datasets.load(name)
    except KeyError:
        raise InputError(
            f"collection.source ir_datasets:{name}: unknown dataset; see ir-datasets.com for the ids"
        ) from None


def _judgements(dataset: Any, name: str) -> Judgements:
    """Read the judgements of a dataset."""
    qrels: Qrels = {}
    for qrel in dataset.qrels_iter():
        if qrel.relevance != int(qrel.relevance):
            raise InputError(
                f"collection.source ir_datasets:{name}: the grade of document {qrel.doc_id!r} for query "
                f"{qrel.query_id!r} must be an integer, not {qrel.relevance!r}"
            )
        qrels.setdefault(qrel.query_id, {})[qrel.doc_id] = int(qrel.relevance)
    return Judgements(qrels, f"ir_datasets:{name}", whole=True)
