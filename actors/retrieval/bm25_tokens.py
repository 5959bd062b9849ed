"""Tokenize texts for BM25 in the language of the collection, and record that language in the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bm25s
import Stemmer

from ranking import unsegmented
from ranking.languages import ENGLISH, analyzer_for

LANGUAGE_FILE = "language.txt"
"""Name of the file in the index that contains the language. English indexes have none."""

_TERM = rf"(?u)[{unsegmented.CHARACTERS}]{{1,2}}|\b\w\w+\b"
_SEPARATOR = "\0"


def tokenize(texts: Sequence[str], language: str) -> bm25s.tokenization.Tokenized:
    """Tokenize texts into stems without stop words.

    English words have two or more characters. In scripts without spaces between words, tokens are overlapping character
    pairs, unless the language's analyzer finds words in them.

    Raises:
        InputError: The language's tokenizer is not installed.
    """
    if language == ENGLISH:
        return _english(texts)
    analyzer = analyzer_for(language)
    joined = [_SEPARATOR.join(analyzer.terms(text)) for text in texts]
    return bm25s.tokenize(joined, lower=False, token_pattern=rf"[^{_SEPARATOR}]+", stopwords=None, show_progress=False)


def write_language(index: Path, language: str) -> None:
    """Write the language of an index to its folder, unless it is English."""
    if language != ENGLISH:
        (index / LANGUAGE_FILE).write_text(language, encoding="utf-8")


def read_language(index: Path) -> str:
    """Return the language of an index."""
    file = index / LANGUAGE_FILE
    return file.read_text(encoding="utf-8") if file.exists() else ENGLISH


def _english(texts: Sequence[str]) -> bm25s.tokenization.Tokenized:
    spaced = [unsegmented.separate_bigrams(text) for text in texts]
    return bm25s.tokenize(
        spaced, token_pattern=_TERM, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False
    )
