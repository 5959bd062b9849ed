"""How complex a query's phrasing is.

That RRADistill's queries were sampled by complexity of phrasing is known; how it was measured is not. This
measure is this project's own: four signs that a query is worded, not listed, or names things exactly. The
words are English, with the question words of Korean; in other languages the marks alone are seen.
"""

from __future__ import annotations

import re

from ranking.selection.query_text import normalise, words_of

PLAIN = frozenset(
    "a an the this that these those i me my we our you your it its is are was were be been am do does did can could should"
    " would will may might must has have had how what which there please and so just any some".split()
)
"""Words that say little by themselves; two queries that differ in them alone ask for the same."""

BINDING = frozenset(
    "to from into onto in on of at by with without within for as after before between over under above below through"
    " not no than via per like until since".split()
)
"""Words that give the next word its part: "list to string" is not "string to list"."""

CLAUSAL = frozenset(
    "if when while where because but or unless whether although though whose who why that which until since so".split()
)
"""Words that begin or join clauses."""

QUESTIONS = frozenset(
    "how what why when where which who whose whom can could should would do does did is are"
    " 어떻게 왜 무엇 무엇을 뭐 뭘 어디 어디서 언제 누가 어떤 얼마나".split()
)
"""Words with which a question begins; those of Korean may stand anywhere."""

_EXACT = re.compile(r"\d|_|\w[.:/\\]\w|\w\(|[<>=|@#$%^&*+]|--\w|[a-z][A-Z]")
_FULL_SHARE = 0.5
_FULL_COUNT = 2


def complexity(text: str) -> float:
    """The complexity of a query as shown, 0 to 1: the mean of four signs, each 0 to 1.

    Function words: their share of the words, 1 from a half up. Question: 1 for a question's first word or a
    question mark at the end. Clauses: words that begin a clause, and commas, 1 from two up. Exactness: terms
    with digits, symbols or the form of an identifier, 1 from two up.
    """
    words = words_of(normalise(text))
    if not words:
        return 0.0
    function_words = sum(word in PLAIN or word in BINDING or word in CLAUSAL for word in words) / len(words)
    clauses = sum(word in CLAUSAL for word in words[1:]) + len(re.findall(r"[,;،、，；]", text))
    exact = sum(bool(_EXACT.search(term)) for term in text.split())
    signs = (
        min(1.0, function_words / _FULL_SHARE),
        float(is_question(text)),
        min(1.0, clauses / _FULL_COUNT),
        min(1.0, exact / _FULL_COUNT),
    )
    return sum(signs) / len(signs)


def is_question(text: str) -> bool:
    """Whether a query begins with a question's first word or ends in a question mark; Korean question words may stand anywhere."""
    words = words_of(normalise(text))
    if not words:
        return False
    return (
        words[0] in QUESTIONS
        or text.rstrip().endswith(("?", "？", "؟"))
        or any(w in QUESTIONS and not w.isascii() for w in words)
    )
