"""Labels from the recorded rankings of pydoc and BM25 lists of its test questions, for benchmarks without Ray."""

from __future__ import annotations

import random
from dataclasses import dataclass

import bm25s

from ranking.collections import pydoc
from ranking.labels.recorded_rankings import RecordedList, read_recorded
from ranking.labels.targets import tiers_from_order
from ranking.records import Answer, Candidate, Label, Provenance, Usage
from ranking.selection.validation_split import is_validation
from ranking.storage.folder import Folder

VALIDATION_FRACTION, SEED = 0.1, 13
PROVENANCE = Provenance(teacher="pydoc", fingerprint="pydoc", engine="recorded", targets="tiers")


@dataclass(frozen=True)
class Material:
    """Labels in a folder, ids of training and validation queries, and lists to test on.

    Attributes:
        labels: Folder of the labels.
        train: Ids of the training queries.
        validation: Labels of the validation queries.
        tested: {query id: (query, [(document id, document)])}.
        qrels: Judgements of the test queries.
    """

    labels: Folder
    train: list[str]
    validation: list[Label]
    tested: dict[str, tuple[str, list[tuple[str, str]]]]
    qrels: dict[str, dict[str, int]]

    @classmethod
    def prepare(cls, folder: Folder, queries: int | None, depth: int) -> Material:
        """Write the labels and retrieve the test lists.

        Args:
            folder: Folder for the labels.
            queries: Maximum number of training queries, sampled by seed. None for all.
            depth: Documents of a test list.
        """
        collection = pydoc.read()
        texts = {document.doc_id: (document.title, document.text) for document in collection.documents}
        recorded = read_recorded(pydoc.RANKINGS)
        labels = [
            label
            for query in collection.log
            if (label := _label(query.query_id, query.text, recorded.get(query.query_id), texts)) is not None
        ]
        validation = [label for label in labels if is_validation(label.query_id, VALIDATION_FRACTION, SEED)]
        ids = sorted({label.query_id for label in labels} - {label.query_id for label in validation})
        train = ids if queries is None else random.Random(SEED).sample(ids, min(queries, len(ids)))
        folder.delete()
        folder.write_rows("part-0.parquet", labels)
        index = bm25s.BM25()
        index.index(bm25s.tokenize([document.content for document in collection.documents], show_progress=False),
                    show_progress=False)  # fmt: skip
        found, _ = index.retrieve(
            bm25s.tokenize([query.text for query in collection.test], show_progress=False), k=depth, show_progress=False
        )
        tested = {
            query.query_id: (query.text, [(collection.documents[row].doc_id, collection.documents[row].content)
                                          for row in rows])
            for query, rows in zip(collection.test, found.tolist(), strict=True)
        }  # fmt: skip
        return cls(folder, train, validation, tested, collection.qrels)


def _label(query_id: str, query: str, recorded: RecordedList | None, texts: dict[str, tuple[str, str]]) -> Label | None:
    """Make the label of a recorded ranking. None if the answer is unusable or has no known documents."""
    if recorded is None or recorded.shown is None or recorded.answer is None or not recorded.answer.usable:
        return None
    shown = [
        Candidate(doc_id=doc_id, title=texts[doc_id][0], text=texts[doc_id][1], rank=rank, score=0.0, retriever="rec")
        for rank, doc_id in enumerate(recorded.shown, start=1)
        if doc_id in texts
    ]
    candidates = tiers_from_order([(one, one.rank, True) for one in shown], recorded.order, recorded.shown)
    if all(candidate.position is None for candidate in candidates):
        return None
    answer = Answer(raw=recorded.raw)
    return Label(
        query_id=query_id, query=query, candidates=candidates, answer=answer, provenance=PROVENANCE, usage=Usage()
    )
