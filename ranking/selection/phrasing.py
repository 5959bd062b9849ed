"""Measure the complexity of a query's phrasing.

RRADistill samples queries by complexity of phrasing. How it measures complexity is not published. This project uses
four signs. Three of them suggest that a query is a phrase rather than a list of keywords: function words, question form
and clauses. The fourth is exact names, such as identifiers and version numbers.

The word lists here are for English collections, and have Korean question words too. In collections in other languages,
the stop words of `ranking.languages` are the function words, its question words mark questions, and only punctuation
marks clauses. A language without such a list has fewer signs of complexity.
"""

from __future__ import annotations

import re

from ranking.languages import ENGLISH
from ranking.languages.question_words import asks
from ranking.languages.stop_words import stop_words_of
from ranking.selection.query_text import normalise, words_of

PLAIN = frozenset(
    "a an the this that these those i me my we our you your it its is are was were be been am do does did can could"
    " should would will may might must has have had how what which there please and so just any some".split()
)
"""Function words with little meaning. Queries that differ only in these words are near-duplicates."""

BINDING = frozenset(
    "to from into onto in on of at by with without within for as after before between over under above below through"
    " not no than via per like until since".split()
)
"""Function words that determine the role of the word after them: "list to string" differs from "string to list"."""

CLAUSAL = frozenset(
    "if when while where because but or unless whether although though whose who why that which until since so".split()
)
"""Words that begin or join clauses."""

QUESTIONS = frozenset(
    "how what why when where which who whose whom can could should would do does did is are"
    " 어떻게 왜 무엇 무엇을 뭐 뭘 어디 어디서 언제 누가 어떤 얼마나".split()
)
"""Question words. English ones count only at the start of a query, Korean ones anywhere in it."""

_EXACT = re.compile(r"\d|_|\w[.:/\\]\w|\w\(|[<>=|@#$%^&*+]|--\w|[a-z][A-Z]")
_FULL_SHARE = 0.5
_FULL_COUNT = 2


def complexity(text: str, language: str = ENGLISH) -> float:
    """Return the complexity of a query: the mean of four signs, each from 0 to 1.

    - Function words: share of the words that are in `PLAIN`, `BINDING` or `CLAUSAL`, divided by 0.5, capped at 1.
    - Question: 1 if `is_question` returns True, 0 otherwise.
    - Clauses: number of words in `CLAUSAL`, except the first word of the query, plus number of commas and semicolons,
      divided by 2, capped at 1.
    - Exact names: number of terms with digits, symbols or the form of an identifier, divided by 2, capped at 1.

    Args:
        text: The query as `ranking.selection.query_text.shown` returns it. Case matters, because it marks identifiers.
        language: Language of the query.
    """
    words = words_of(normalise(text))
    if not words:
        return 0.0
    functional, clausal = function_words(language), CLAUSAL if language == ENGLISH else frozenset()
    function_share = sum(word in functional for word in words) / len(words)
    clauses = sum(word in clausal for word in words[1:]) + len(re.findall(r"[,;،、，；]", text))
    exact = sum(bool(_EXACT.search(term)) for term in text.split())
    signs = (
        min(1.0, function_share / _FULL_SHARE),
        float(is_question(text, language)),
        min(1.0, clauses / _FULL_COUNT),
        min(1.0, exact / _FULL_COUNT),
    )
    return sum(signs) / len(signs)


def function_words(language: str) -> frozenset[str]:
    """Return the function words of a language. Empty if there is no list."""
    return PLAIN | BINDING | CLAUSAL if language == ENGLISH else stop_words_of(language)


def is_question(text: str, language: str = ENGLISH) -> bool:
    """Return whether a query has question words or ends in a question mark.

    In English, it begins with an English question word or contains a Korean one. For other languages see
    `ranking.languages.question_words`.
    """
    normal = normalise(text)
    words = words_of(normal)
    if not words:
        return False
    if text.rstrip().endswith(("?", "？", "؟")):
        return True
    if language != ENGLISH:
        return asks(normal, language)
    return words[0] in QUESTIONS or any(w in QUESTIONS and not w.isascii() for w in words)
