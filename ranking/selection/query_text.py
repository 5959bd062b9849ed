"""Process the text of queries: clean it for storage, normalise it, split it into words, count terms, derive ids."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata

from ranking import unsegmented

_SPACES = {"Cc", "Zl", "Zp"}
_REMOVED = {"Cf", "Cs"}
_SENTENCE_MARKS = {"Po", "Ps", "Pe", "Pi", "Pf"}
_MEANINGFUL = set("#@%&*/\\")
_UNSEGMENTED = re.compile(f"[{unsegmented.CHARACTERS}]")
_CHARACTERS_PER_TERM = 2


def shown(text: str) -> str:
    """Clean a text for storage: remove control and invisible characters, and collapse white space to single spaces."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    visible = (" " if (kind := unicodedata.category(c)) in _SPACES else "" if kind in _REMOVED else c for c in text)
    return " ".join("".join(visible).split())


def normalise(text: str) -> str:
    """Normalise a text for comparison: apply NFKC, case folding and `shown`, and remove outer punctuation.

    Outer punctuation is punctuation at the start and end of the text. Characters that can belong to a name are kept:
    `#`, `+`, `_`, `-` and a leading dot, as in "c#", ".net" and "--help". A text that consists only of removable
    punctuation becomes empty. The function is idempotent.
    """
    while True:
        step = _strip_punctuation(shown(unicodedata.normalize("NFKC", text).casefold()))
        if step == text:
            return step
        text = step


def words_of(normal: str) -> list[str]:
    """Split a normalised text into words: runs of letters, combining marks, digits, `_`, `+` and `#`.

    "os.path.join" is three words. Text between two spaces that has none of these characters ("<", "->") is one word.
    """
    words: list[str] = []
    for piece in normal.split():
        words += (
            [piece]
            if piece.isalnum()
            else "".join(c if _is_word_character(c) else " " for c in piece).split() or [piece]
        )
    return words


def count_terms(normal: str) -> int:
    """Count the terms of a normalised text. Terms are separated by spaces.

    In scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Burmese), two characters count as one term.
    """
    terms = 0
    for piece in normal.split():
        unsegmented_characters = 0 if piece.isascii() else len(_UNSEGMENTED.findall(piece))
        terms += max(1, math.ceil(unsegmented_characters / _CHARACTERS_PER_TERM))
    return terms


def query_id_of(normal: str) -> str:
    """Derive a query id from a normalised text. The same text always gives the same id."""
    return f"q-{hashlib.sha256(normal.encode('utf-8')).hexdigest()[:16]}"


def _strip_punctuation(text: str) -> str:
    """Remove punctuation and spaces at the start and end of a text, except a leading dot."""
    start, stop = 0, len(text)
    while start < stop and text[start] != "." and _is_outer(text[start]):
        start += 1
    while stop > start and _is_outer(text[stop - 1]):
        stop -= 1
    return text[start:stop]


def _is_outer(character: str) -> bool:
    """Return whether a character counts as outer punctuation: a space, or punctuation that is not used in names."""
    return character == " " or (unicodedata.category(character) in _SENTENCE_MARKS and character not in _MEANINGFUL)


def _is_word_character(character: str) -> bool:
    """Return whether a character can be part of a word: a letter, combining mark, digit, `_`, `+` or `#`."""
    return character in "_+#" or unicodedata.category(character)[0] in "LMN"
