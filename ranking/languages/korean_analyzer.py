"""Korean morphemes by Kiwi (kiwipiepy, Apache 2.0). The package kiwipiepy-model contains its model.

Tags: https://github.com/bab2min/kiwipiepy, table of part-of-speech tags (an extension of the Sejong tag set).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ranking.languages.analyzer import Part, content_of, fold, key_of

_CONTENT = {"NNG", "NNP", "NNB", "NR", "VV", "VA", "MAG", "XR", "SL", "SH", "SN"}
"""Nouns, verbs, adjectives, adverbs, roots, and words in other scripts; also web addresses and the like (W_*)."""

_ROLES = {"JKB", "JKC", "JX", "VCN", "XPN", "MM", "SW"}
"""Adverbial and auxiliary particles (from, to, until), negative copula, prefixes, determiners, symbols."""

_NEGATIONS = {"않다", "못하다", "말다"}
"""Auxiliary verbs that change the meaning of the verb before them. Other auxiliary verbs are dropped."""

_STOP_WORDS = frozenset(
    "것/NNB 거/NNB 수/NNB 줄/NNB 데/NNB 바/NNB 때문/NNB 등/NNB 하다/VV 되다/VV 있다/VV 있다/VA 왜/MAG 어떻게/MAG"
    " 어떻다/VA 이렇다/VA 그렇다/VA 은/JX 는/JX 요/JX 이/MM 그/MM 저/MM 어떤/MM 무슨/MM".split()
)
"""Frequent dictionary forms without a meaning of their own, and question words, each with its tag.

This project's own list.
"""

_SAME = {"으로": "로", "와": "과"}
"""Particles whose form depends on the sound before them."""


class KoreanAnalyzer:
    """Splits Korean texts into the dictionary forms of their content morphemes. Drops particles and endings."""

    def __init__(self, kiwi: Any) -> None:
        self._kiwi = kiwi

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order."""
        return content_of(self._parts(text))

    def key(self, normal: str) -> str:
        """Return the set of terms with their role particles, in sort order."""
        return key_of(self._parts(normal)) or normal

    def _parts(self, text: str) -> Iterator[Part]:
        for token in self._kiwi.tokenize(fold(text)):
            tag, form = token.tag.partition("-")[0], token.lemma  # VV-I and VV-R are irregular and regular verbs
            if f"{form}/{tag}" in _STOP_WORDS:
                continue
            if tag in _CONTENT or tag.startswith("W_"):
                yield Part(form, True)
            elif tag in _ROLES or (tag == "VX" and form in _NEGATIONS):
                yield Part(_SAME.get(form, form), False)


def create() -> KoreanAnalyzer:
    """Load Kiwi's model, which takes about 500 MB of memory."""
    from kiwipiepy import Kiwi

    return KoreanAnalyzer(Kiwi(num_workers=1))
