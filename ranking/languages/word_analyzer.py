"""Words with a Snowball stemmer, for languages that separate words by spaces; also words as they are."""

from __future__ import annotations

import unicodedata
from typing import Any

from ranking import unsegmented
from ranking.languages.analyzer import fold
from ranking.languages.stop_words import stop_words_of
from ranking.selection.query_text import words_of

_TURKISH_I = str.maketrans({"I": "ı", "İ": "i"})


class WordAnalyzer:
    """Splits texts into words of letters, combining marks and digits.

    In scripts without spaces between words, the words are overlapping character pairs. For a Snowball language, words
    are stemmed, and stop words and words of one character are no terms, as in English. For `none`, every word is a
    term.

    Args:
        language: A Snowball language, or `none`.
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self.stop_words = stop_words_of(language)
        self._stemmer = _stemmer(language)

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order."""
        words = _split(fold(text.translate(_TURKISH_I) if self.language == "turkish" else text))
        if self._stemmer is None:
            return words
        return [self._stem(word) for word in words if self._is_term(word)]

    def key(self, normal: str) -> str:
        """Return the stems of all words, stop words included, in their order.

        Order and stop words count, because a preposition determines the role of another word.
        """
        return "\n".join(self._stem(word) for word in words_of(normal))

    def _is_term(self, word: str) -> bool:
        return word not in self.stop_words and (len(word) > 1 or bool(unsegmented.RUN.fullmatch(word)))

    def _stem(self, word: str) -> str:
        return word if self._stemmer is None else str(self._stemmer.stemWord(word))


def _stemmer(language: str) -> Any:
    """Return the Snowball stemmer of a language; None for `none`."""
    if language == "none":
        return None
    import Stemmer

    return Stemmer.Stemmer(language)


def _split(text: str) -> list[str]:
    """Split a text into runs of letters, marks and digits, and runs of unsegmented characters into pairs."""
    if text.isascii():
        return "".join(character if character.isalnum() else " " for character in text).split()
    spaced = "".join(character if unicodedata.category(character)[0] in "LMN" else " " for character in text)
    return unsegmented.separate_bigrams(spaced).split()
