"""Query text: the stored form, the normalised form, words, terms, and ids derived from the text."""

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
    """Return the form of a text that is stored: without control and invisible characters, with single spaces."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    visible = (" " if (kind := unicodedata.category(c)) in _SPACES else "" if kind in _REMOVED else c for c in text)
    return " ".join("".join(visible).split())


def normalise(text: str) -> str:
    """Normalise a text for comparison: NFKC, case folding, `shown`, and no outer punctuation.

    Keeps marks that belong to names (`#`, `+`, `_`, `-`, a leading dot: "c#", ".net", "--help"). A text of punctuation
    only becomes empty. Idempotent.
    """
    while True:
        step = _strip_punctuation(shown(unicodedata.normalize("NFKC", text).casefold()))
        if step == text:
            return step
        text = step


def words_of(normal: str) -> list[str]:
    """Split a normalised text into words: runs of letters, marks, digits, `_`, `+` and `#`.

    "os.path.join" is three words. A piece between spaces with none of these characters ("<", "->") is one word.
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
    """Count the terms of a normalised text: pieces between spaces.

    In unsegmented scripts (Han, kana, Thai, Lao, Khmer, Burmese) two characters count as one term.
    """
    terms = 0
    for piece in normal.split():
        unsegmented_characters = 0 if piece.isascii() else len(_UNSEGMENTED.findall(piece))
        terms += max(1, math.ceil(unsegmented_characters / _CHARACTERS_PER_TERM))
    return terms


def query_id_of(normal: str) -> str:
    """Derive an id from a normalised text. The same text always has the same id."""
    return f"q-{hashlib.sha256(normal.encode('utf-8')).hexdigest()[:16]}"


def _strip_punctuation(text: str) -> str:
    """Remove outer punctuation, except a leading dot."""
    start, stop = 0, len(text)
    while start < stop and text[start] != "." and _is_outer(text[start]):
        start += 1
    while stop > start and _is_outer(text[stop - 1]):
        stop -= 1
    return text[start:stop]


def _is_outer(character: str) -> bool:
    """Return whether a character is a space or punctuation that can be stripped."""
    return character == " " or (unicodedata.category(character) in _SENTENCE_MARKS and character not in _MEANINGFUL)


def _is_word_character(character: str) -> bool:
    """Return whether a character is part of a word."""
    return character in "_+#" or unicodedata.category(character)[0] in "LMN"
