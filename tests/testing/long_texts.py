"""Long documents for tests: one relevant sentence among other facts."""

from ranking.records import Candidate
from tests.testing.facts import FACTS

ANSWER = "Bread rises because yeast turns sugar into carbon dioxide."
QUERY = "why does dough get bigger"


def long_text(sentence, before=8, after=8):
    """Return a text of other facts with a sentence behind the first `before` of them."""
    others = [text for _, text in FACTS if text != ANSWER] * 3
    return " ".join([*others[:before], sentence, *others[before : before + after]])


def candidate(doc_id, text, title="", rank=1):
    """Return a candidate."""
    return Candidate(doc_id=doc_id, title=title, text=text, rank=rank, score=1 / rank, retriever="bm25")


def long_candidates():
    """Return three candidates. The answer is deep in the second, and the last is short."""
    return [
        candidate("other", long_text("Glass is made by melting sand."), rank=1),
        candidate("answer", long_text(ANSWER), title="Kitchen", rank=2),
        candidate("short", "A short text about the moon.", rank=3),
    ]
