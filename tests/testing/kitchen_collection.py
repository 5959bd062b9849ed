"""A small collection about a kitchen, and systems that rank its documents, for evaluation tests."""

from ranking.collections.collection import Collection
from ranking.evaluation.comparison import System
from ranking.evaluation.evaluation_settings import EvaluationSettings
from ranking.evaluation.results import SystemResult
from ranking.records import Document, Query

QUERIES = {
    "q1": "how does bread rise in the oven and why",
    "q2": "bread yeast",
    "q3": "heat oven quickly please",
    "q4": "yeast?",
}
DOCUMENTS = {"d1": "Yeast makes bread rise in the oven", "d2": "An oven is heated by gas", "d3": "Cats sleep"}
QRELS = {"q1": {"d1": 2}, "q2": {"d1": 1, "d3": 0}, "q3": {"d2": 1}, "q4": {"d1": 1}}
SETTINGS = EvaluationSettings(measures=["RR@10", "nDCG@10"], first_stages=["bm25"], baseline="bm25", permutations=500)


def kitchen_collection():
    """Return the collection. All queries are test queries."""
    return Collection(
        name="kitchen",
        fingerprint="f",
        documents=[Document(doc_id=key, text=text) for key, text in DOCUMENTS.items()],
        log=[],
        test=[Query(query_id=key, text=text, frequency=4 if key == "q2" else 1) for key, text in QUERIES.items()],
        qrels=QRELS,
        notes=["a note"],
    )


def system(kind, name, order, candidates=None):
    """Return a system that ranks the documents in `order` for every query."""
    run = {query_id: {doc_id: -float(rank) for rank, doc_id in enumerate(order)} for query_id in QUERIES}
    return System(SystemResult(kind=kind, system=name, candidates=candidates, measures={}), run)
