"""Prompt sanitizing: remove invisible characters, and rewrite brackets that look like document identifiers."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_OPEN = "[［【〔〖〘〚⟦⁅❲﹝﹇"
_CLOSE = "]］】〕〗〙〛⟧⁆❳﹞﹈"
_BRACKETS = re.compile(f"[{re.escape(_OPEN + _CLOSE)}]")
_WORD = re.compile(r"[^\W_]+")
_ROMAN = re.compile(r"X{0,3}(?:IX|IV|V?I{0,3})")

_JOINING_SCRIPTS = (
    r"\u0600-\u061b\u061d-\u109f\u1780-\u17b3\u17b6-\u17ff\u1807\u1820-\u18af\u1900-\u1cff"
    r"\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
)
_IDEOGRAPHS = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PICTOGRAPHS = r"\u2190-\u27ff\u2900-\u2bff\U0001f000-\U0001faff"
_SYMBOLS = rf"\u00a9\u00ae\u203c\u2049\u2100-\u218f{_PICTOGRAPHS}\u3030\u303d\u3297\u3299{_IDEOGRAPHS}"
_KEPT = "|".join(
    [
        rf"(?<=[{_JOINING_SCRIPTS}])[\u200c\u200d](?=[{_JOINING_SCRIPTS}])",
        rf"(?<=[{_PICTOGRAPHS}\ufe0f])\u200d(?=[{_PICTOGRAPHS}])",
        rf"(?<=[{_SYMBOLS}])[\ufe00-\ufe0f]",
        r"(?<=[0-9#*])\ufe0f(?=\u20e3)",
        rf"(?<=[{_IDEOGRAPHS}])[\U000e0100-\U000e01ef]",
        r"(?<=[\u1820-\u18aa])[\u180b-\u180f]",
    ]
)
_DELETED = (
    r"\u00ad\u034f\u17b4\u17b5\u180b-\u180f\u200c\u200d\ufe00-\ufe0f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SPACED = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u115f\u1160\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufeff\uffa0\ufff0-\ufffb"
)
_HIDDEN = re.compile(f"(?P<kept>{_KEPT})|[{_DELETED}]|(?P<spaced>[{_SPACED}])")


def without_hidden(text: str) -> str:
    """Remove control characters and invisible characters, except line feeds and tabs.

    Control characters, directional marks, zero-width spaces, word joiners and blank letters (Hangul fillers, the blank
    Braille pattern) are replaced with a space. Soft hyphens, tag characters, joiners and variation selectors are
    deleted without a space, because they occur inside words or after a symbol.

    Characters that are needed for correct spelling remain: a joiner or non-joiner between two letters of a joining
    script (Persian, Indic), a joiner between two emoji, one variation selector after a symbol with variants, and
    Mongolian variation selectors. Some legitimate characters are lost: a joiner at the end of a word, the region in the
    flags of England, Scotland and Wales, and the fillers of Old Hangul.
    """
    while (cleaned := _HIDDEN.sub(_kept_or_space, text)) != text:
        text = cleaned  # Repeat: removing a character can change whether its neighbour is kept.
    return text


def without_identifiers(text: str) -> str:
    """Replace square brackets around numbers with round ones: "[3]" becomes "(3)", "[1, 2]" becomes "(1, 2)".

    Full-width, lenticular, tortoise-shell and similar brackets count as square brackets. Numbers may be in any script,
    or upper-case Roman numerals up to XXXIX. Brackets that contain any other word do not change, as in "a[i]" and
    "[page 3]".
    """
    written = list(text)
    opened: list[_Bracket] = []
    end = 0
    for match in _BRACKETS.finditer(text):
        if opened:
            opened[-1].read(text[end : match.start()])
        end = match.end()
        if match[0] in _OPEN:
            opened.append(_Bracket(match.start()))
        elif opened:
            closed = opened.pop()
            if closed.numbers and not closed.words:
                written[closed.start], written[match.start()] = "(", ")"
            if opened:
                opened[-1].merge(closed)
    return "".join(written)


@dataclass
class _Bracket:
    """An opening bracket, and what was found between it and its closing bracket.

    Attributes:
        start: Index of the bracket in the text.
        numbers: Whether it contains numbers.
        words: Whether it contains words other than numbers.
    """

    start: int
    numbers: bool = False
    words: bool = False

    def read(self, text: str) -> None:
        """Record whether a text inside the bracket contains numbers and other words."""
        for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
            if _is_number(word):
                self.numbers = True
            else:
                self.words = True

    def merge(self, inner: _Bracket) -> None:
        """Record the content of a nested bracket as content of this one."""
        self.numbers |= inner.numbers
        self.words |= inner.words


def _kept_or_space(match: re.Match[str]) -> str:
    return match["kept"] or (" " if match["spaced"] else "")


def _is_number(word: str) -> bool:
    return bool(_ROMAN.fullmatch(word)) or all(unicodedata.numeric(character, None) is not None for character in word)
