"""What a collection is, once read."""

from __future__ import annotations

from dataclasses import dataclass, field

from ranking.records import Document, Query


@dataclass
class Collection:
    """A collection in memory.

    documents: every document, with unique ids; those without any text are kept out of indexes.
    log: queries to choose the labelled ones from. test: judged queries of the split.
    qrels: {query_id: {doc_id: grade}}; grades are integers, 0 and below mean not relevant.
    log_qrels: the same for queries of the log, where there are any: a supervised control can learn from them.
    notes: what a reader should know about this reading, one line each. halved: whether one set of judgements was divided, half of its
    queries to test and half to label.
    """

    name: str
    fingerprint: str
    documents: list[Document]
    log: list[Query]
    test: list[Query]
    qrels: dict[str, dict[str, int]]
    notes: list[str] = field(default_factory=list)
    log_qrels: dict[str, dict[str, int]] = field(default_factory=dict)
    halved: bool = False
