"""Remove invisible characters."""

from __future__ import annotations

import re

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


def _kept_or_space(match: re.Match[str]) -> str:
    return match["kept"] or (" " if match["spaced"] else "")
