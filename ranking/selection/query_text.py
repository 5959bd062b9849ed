"""A query's text: as it is shown, as it is compared, its words, and the id that is made from it."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata

from ranking import unsegmented

_SPACES = {"Cc", "Zl", "Zp"}
_REMOVED = {"Cf", "Cs"}
_SENTENCE_MARKS = {"Po", "Ps", "Pe", "Pi", "Pf"}
_MEANT = set("#@%&*/\\")
_UNSPACED = re.compile(f"[{unsegmented.CHARACTERS}]")
_CHARACTERS_PER_TERM = 2


def shown(text: str) -> str:
    """The text without control and invisible characters, white space joined: the form that is stored."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (" " if (kind := unicodedata.category(c)) in _SPACES else "" if kind in _REMOVED else c for c in text)
    return " ".join("".join(kept).split())


def normalise(text: str) -> str:
    """The form by which queries are the same: NFKC, case-folded, shown form, without outer punctuation.

    Marks that belong to names stay (`#`, `+`, `_`, `-`, a leading dot: "c#", ".net", "--help"). Empty where
    there is nothing but punctuation. Normalising twice changes nothing.
    """
    while True:
        step = _bare(shown(unicodedata.normalize("NFKC", text).casefold()))
        if step == text:
            return step
        text = step


def words_of(normal: str) -> list[str]:
    """Divide a normalised text into words: runs of letters, marks, digits, `_`, `+` and `#`.

    "os.path.join" is three words. What stands alone and has none of these ("<", "->") is a word of its own.
    """
    words: list[str] = []
    for piece in normal.split():
        words += [piece] if piece.isalnum() else "".join(c if _is_of_word(c) else " " for c in piece).split() or [piece]
    return words


def count_terms(normal: str) -> int:
    """How many terms a normalised text has: pieces between white space.

    In scripts that put no spaces between words (Han, kana, Thai, Lao, Khmer, Burmese) two characters count as one.
    """
    terms = 0
    for piece in normal.split():
        unspaced = 0 if piece.isascii() else len(_UNSPACED.findall(piece))
        terms += max(1, math.ceil(unspaced / _CHARACTERS_PER_TERM))
    return terms


def query_id_of(normal: str) -> str:
    """Make an id from a normalised text, the same wherever and whenever the query is met."""
    return f"q-{hashlib.sha256(normal.encode('utf-8')).hexdigest()[:16]}"


def _bare(text: str) -> str:
    start, stop = 0, len(text)
    while start < stop and text[start] != "." and _is_outer(text[start]):
        start += 1
    while stop > start and _is_outer(text[stop - 1]):
        stop -= 1
    return text[start:stop]


def _is_outer(character: str) -> bool:
    return character == " " or (unicodedata.category(character) in _SENTENCE_MARKS and character not in _MEANT)


def _is_of_word(character: str) -> bool:
    return character in "_+#" or unicodedata.category(character)[0] in "LMN"
