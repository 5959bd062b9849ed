"""The interface of analyzers, and the normalisation of text that all of them share."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol


class Analyzer(Protocol):
    """Splits texts of one language into terms."""

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order: stems or dictionary forms, without stop words."""

    def key(self, normal: str) -> str:
        """Return the deduplication key of a text that `ranking.selection.query_text.normalise` returned.

        Texts with the same key have the same meaning as queries: they differ at most in inflection.
        """


class Part(NamedTuple):
    """A part of a text that a morphological tokenizer found.

    Attributes:
        text: Dictionary form.
        is_content: True for terms. False for words that only change the meaning of the term before them, such as
            "from" or "not". Other words are no parts.
    """

    text: str
    is_content: bool


def fold(text: str) -> str:
    """Normalise the characters of a text: NFKC, case folding, no invisible characters such as soft hyphens.

    NFKC composes Hangul from jamo and accents from combining marks, and replaces full-width letters and half-width
    kana.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return folded
    return "".join(character for character in folded if unicodedata.category(character) != "Cf")


def content_of(parts: Iterable[Part]) -> list[str]:
    """Return the texts of the content parts."""
    return [part.text for part in parts if part.is_content]


def key_of(parts: Iterable[Part]) -> str:
    """Join parts to a deduplication key in which the order of content does not matter.

    Other parts are joined with the content before them, because Korean and Japanese put them there: "from Seoul to
    Busan" and "from Busan to Seoul" have different keys.
    """
    groups: list[str] = []
    for part in parts:
        if part.is_content or not groups:
            groups.append(part.text)
        else:
            groups[-1] += f" {part.text}"
    return "\n".join(sorted(set(groups)))


def pieces(text: str, max_length: int) -> Iterator[str]:
    """Cut a text into pieces of at most `max_length` characters, at white space where possible."""
    start = 0
    while len(text) - start > max_length:
        end = max(text.rfind(" ", start, start + max_length), text.rfind("\n", start, start + max_length))
        end = end + 1 if end > start else start + max_length
        yield text[start:end]
        start = end
    yield text[start:]
