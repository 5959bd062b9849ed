"""What a document may not bring into a prompt: characters that nobody sees, and brackets that pose as identifiers."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_OPEN = "[［【〔〖〘〚⟦⁅❲﹝﹇"
_CLOSE = "]］】〕〗〙〛⟧⁆❳﹞﹈"
_BRACKETS = re.compile(f"[{re.escape(_OPEN + _CLOSE)}]")
_WORD = re.compile(r"[^\W_]+")
_ROMAN = re.compile(r"X{0,3}(?:IX|IV|V?I{0,3})")

_SHAPED = (
    r"\u0600-\u061b\u061d-\u109f\u1780-\u17b3\u17b6-\u17ff\u1807\u1820-\u18af\u1900-\u1cff"
    r"\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
)
_IDEOGRAPH = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PICTURE = r"\u2190-\u27ff\u2900-\u2bff\U0001f000-\U0001faff"
_SYMBOL = rf"\u00a9\u00ae\u203c\u2049\u2100-\u218f{_PICTURE}\u3030\u303d\u3297\u3299{_IDEOGRAPH}"
_NEEDED = "|".join(
    [
        rf"(?<=[{_SHAPED}])[\u200c\u200d](?=[{_SHAPED}])",
        rf"(?<=[{_PICTURE}\ufe0f])\u200d(?=[{_PICTURE}])",
        rf"(?<=[{_SYMBOL}])[\ufe00-\ufe0f]",
        r"(?<=[0-9#*])\ufe0f(?=\u20e3)",
        rf"(?<=[{_IDEOGRAPH}])[\U000e0100-\U000e01ef]",
        r"(?<=[\u1820-\u18aa])[\u180b-\u180f]",
    ]
)
_INSIDE_WORDS = r"\u00ad\u034f\u17b4\u17b5\u180b-\u180f\u200c\u200d\ufe00-\ufe0f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
_APART = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u115f\u1160\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb"
_HIDDEN = re.compile(f"(?P<needed>{_NEEDED})|[{_INSIDE_WORDS}]|(?P<apart>[{_APART}])")


def without_hidden(text: str) -> str:
    """Take out control characters and what has no shape of its own; line breaks and tabs stay.

    Controls, marks of direction, zero-width spaces, word joiners and blank letters (Hangul fillers, the empty
    Braille cell) become a space. Soft hyphens, tag characters, joiners and variation selectors stand inside words
    or behind a sign, so they go without one.

    Kept is what a script needs to be written right: a joiner or non-joiner between two letters of a script that
    joins them (Persian, Indic), a joiner between two pictures (emoji), one variation selector behind a sign that
    has variants, selectors of Mongolian letters. Lost are a joiner at a word's end, the region of the flags of
    England, Scotland and Wales, and the fillers of old Hangul.
    """
    while (shown := _HIDDEN.sub(_needed_or_space, text)) != text:
        text = shown  # what was needed beside something that went may be needed no more
    return text


def without_identifiers(text: str) -> str:
    """Write round brackets where square ones hold only numbers: "[3]" becomes "(3)", "[1, 2]" becomes "(1, 2)".

    Square are also full-width, lenticular and tortoise-shell brackets. A number is one in any script, or a Roman
    one of capitals up to XXXIX. Brackets that hold any other word stay, as in "a[i]" and "[page 3]".
    """
    written = list(text)
    opened: list[_Bracket] = []
    end = 0
    for found in _BRACKETS.finditer(text):
        if opened:
            opened[-1].read(text[end : found.start()])
        end = found.end()
        if found[0] in _OPEN:
            opened.append(_Bracket(found.start()))
        elif opened:
            closed = opened.pop()
            if closed.numbers and not closed.words:
                written[closed.start], written[found.start()] = "(", ")"
            if opened:
                opened[-1].take_in(closed)
    return "".join(written)


@dataclass
class _Bracket:
    """An open bracket: where it stands, and whether numbers and other words were read since."""

    start: int
    numbers: bool = False
    words: bool = False

    def read(self, text: str) -> None:
        for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
            if _is_number(word):
                self.numbers = True
            else:
                self.words = True

    def take_in(self, inner: _Bracket) -> None:
        self.numbers |= inner.numbers
        self.words |= inner.words


def _needed_or_space(found: re.Match[str]) -> str:
    return found["needed"] or (" " if found["apart"] else "")


def _is_number(word: str) -> bool:
    return bool(_ROMAN.fullmatch(word)) or all(unicodedata.numeric(character, None) is not None for character in word)
