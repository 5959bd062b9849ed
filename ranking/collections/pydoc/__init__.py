"""The collection included in the package: documentation search over Python's standard library.

The module `passages` reads the passages from the running interpreter. The query log, the test questions and their
judgements are in this folder. docs/pydoc.md describes how they were made.
"""

from __future__ import annotations

from pathlib import Path

from ranking.collections import beir
from ranking.collections.collection import Collection
from ranking.collections.pydoc.passages import read_passages
from ranking.collections.qrels import read_qrels
from ranking.errors import InputError
from ranking.runs.stages import fingerprint_of

HERE = Path(__file__).parent
RANKINGS = HERE / "llm_rankings.jsonl"
"""Recorded answers of a large language model to the listwise prompt, for all log queries and test questions."""


def read(split: str = "test") -> Collection:
    """Read the collection: the passages of the running interpreter, the query log, the test questions and judgements.

    Judgements of passages that this interpreter does not have are dropped. The collection's notes state their number.

    Args:
        split: Must be "test".

    Raises:
        InputError: The split is not "test".
    """
    if split != "test":
        raise InputError(f"evaluation.split {split!r}: the pydoc collection only has the split 'test'")
    documents = read_passages()
    log = beir.read_queries(HERE / "log.jsonl")
    test = beir.read_queries(HERE / "questions.jsonl")
    judged = read_qrels(HERE / "qrels.tsv")
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
        notes=[f"{missing} judged passages were dropped because this Python version does not have them"]
        if missing
        else [],
    )
