"""Pre-ranked lists and prompt fillers for tests of teachers."""

from actors.vllm.prompt_tokens import PromptFiller
from ranking.prompts import load_prompt
from ranking.records import Candidate, PreRankedCandidate, PreRankedList


def pre_ranked_list(documents=4, text="some text", query_id="q"):
    """Make a list of documents d1, d2, ... with numbered texts. The first half is the pre-ranker's head."""
    picked = [
        PreRankedCandidate(
            candidate=Candidate(doc_id=f"d{n}", title="", text=f"{text} {n}", rank=n, score=1.0, retriever="bm25"),
            pre_rank=n,
            of_head=n <= documents // 2,
        )
        for n in range(1, documents + 1)
    ]
    return PreRankedList(query_id=query_id, text=f"which? {query_id}", picked=picked)


def prompt_filler(model, document_tokens=200, context=None):
    """Return an object that fills the built-in listwise prompt."""
    return PromptFiller(load_prompt(), str(model), None, context, document_tokens)
