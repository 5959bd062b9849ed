"""Chinese words by rjieba (MIT), Python bindings of jieba-rs, whose dictionary and algorithm are those of jieba."""

from __future__ import annotations

from typing import Any

from ranking.languages.analyzer import fold
from ranking.languages.stop_words import stop_words_of


class ChineseAnalyzer:
    """Splits Chinese texts into words, and long words also into the shorter ones in them."""

    def __init__(self, segmenter: Any) -> None:
        self._segmenter = segmenter
        self._stop_words = stop_words_of("chinese")

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order."""
        words = self._segmenter.cut_for_search(fold(text))
        return [word for word in words if word not in self._stop_words and any(c.isalnum() for c in word)]

    def key(self, normal: str) -> str:
        """Return all words in their order, because word order determines roles."""
        return "\n".join(word for word in self._segmenter.cut(normal) if word.strip())


def create() -> ChineseAnalyzer:
    """Load the dictionary."""
    import rjieba

    return ChineseAnalyzer(rjieba.Jieba())
