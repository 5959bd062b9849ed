"""Japanese morphemes by Sudachi (sudachipy, Apache 2.0) with its core dictionary (sudachidict-core, Apache 2.0).

Parts of speech: https://github.com/WorksApplications/Sudachi, those of UniDic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ranking.languages.analyzer import Part, content_of, fold, key_of, pieces

_CONTENT = {"名詞", "動詞", "形容詞", "形状詞", "副詞", "接尾辞"}
"""Nouns, verbs, adjectives, adjectival nouns, adverbs, suffixes."""

_ROLES = {"助詞", "助動詞", "接頭辞", "補助記号", "記号"}
"""Particles, auxiliary verbs (not), prefixes, symbols."""

_STOP_WORDS = frozenset(
    "は が を の も か ね よ て で だ です ます た 為る 有る 居る 成る 事 物 何 何故 、 。 ? !".split()
)
"""Frequent normalised forms without a meaning of their own, and question words. This project's own list."""

_MAX_LENGTH = 12_000
"""Characters per call. Sudachi accepts at most 49,149 bytes."""


class JapaneseAnalyzer:
    """Splits Japanese texts into the normalised forms of their content morphemes, in Sudachi's shortest units (mode A).

    Normalised forms are dictionary forms with one spelling per word.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order."""
        return content_of(self._parts(text))

    def key(self, normal: str) -> str:
        """Return the set of terms with their role particles, in sort order."""
        return key_of(self._parts(normal)) or normal

    def _parts(self, text: str) -> Iterator[Part]:
        for piece in pieces(fold(text), _MAX_LENGTH):
            for morpheme in self._tokenizer.tokenize(piece):
                form, kind = morpheme.normalized_form().casefold(), morpheme.part_of_speech()[0]
                if form in _STOP_WORDS or not form.strip():
                    continue
                if kind in _CONTENT:
                    yield Part(form, True)
                elif kind in _ROLES:
                    yield Part(form, False)


def create() -> JapaneseAnalyzer:
    """Open Sudachi's dictionary."""
    from sudachipy import Dictionary, SplitMode

    return JapaneseAnalyzer(Dictionary(dict="core").tokenizer(mode=SplitMode.A))
