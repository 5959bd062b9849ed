"""The embedded collection: a documentation search over Python's own standard library.

Passages come from the running interpreter (`passages`); the query log, the test questions and their
judgements are part of the project, beside this file. docs/pydoc.md tells how they were made.
"""

from __future__ import annotations

from pathlib import Path

from ranking.collections import beir
from ranking.collections.collection import Collection
from ranking.collections.pydoc.passages import read_passages
from ranking.errors import InputError
from ranking.runs.stages import fingerprint_of

HERE = Path(__file__).parent


def read(split: str = "test") -> Collection:
    """Read the passages of this interpreter and the project's log, questions and judgements.

    Judged ids that this interpreter lacks are left out and counted in the notes.
    Only the split "test" exists. Raises InputError for another.
    """
    if split != "test":
        raise InputError(f"evaluation.split {split!r}: the pydoc collection has the split 'test' only")
    documents = read_passages()
    log = beir.read_queries(HERE / "log.jsonl")
    test = beir.read_queries(HERE / "questions.jsonl")
    judged = beir.read_qrels(HERE / "qrels.tsv", {query.query_id for query in test})
    known = {document.doc_id for document in documents}
    qrels = {
        query_id: {doc_id: grade for doc_id, grade in grades.items() if doc_id in known}
        for query_id, grades in judged.items()
    }
    missing = sum(map(len, judged.values())) - sum(map(len, qrels.values()))
    contents = [(document.doc_id, document.content) for document in documents]
    rows = [[query.model_dump() for query in queries] for queries in (log, test)]
    return Collection(
        name="pydoc",
        fingerprint=fingerprint_of("pydoc", contents, rows, qrels),
        documents=documents,
        log=log,
        test=test,
        qrels=qrels,
        notes=[f"{missing} judged passages are not in this interpreter and were left out"] if missing else [],
    )
