"""Rewrite text that looks like the lines around a document in a prompt, which begin with "<<<" or ">>>"."""

from __future__ import annotations

import keyword
import re

_GREATER = "(?:[>＞﹥›»≻≫⟩〉〉❯❱]|&gt;|&#0{0,5}62;|&#[xX]0{0,5}3[eE];)"
_LESS = "(?:[<＜﹤‹«≪⟨〈〈❮❰]|&lt;|&#0{0,5}60;|&#[xX]0{0,5}3[cC];)"
_OPENING_LINE = re.compile(rf"^([^\S\n]*)(?:{_LESS}{{3,}}|[≪《⟪]{{2,}}|⋘)", re.MULTILINE)
_CLOSING_LINE = re.compile(rf"^([^\S\n]*)(?:{_GREATER}{{3,}}|[≫》⟫]{{2,}}|⋙)(?P<rest>[^\n]*)", re.MULTILINE)
_OPENING_INSIDE = re.compile(rf"(?<=\s)(){_LESS}{{3,}}(?=[ \t]?[\[({{]?(?:\d|[^\W\d_]+[ \t]+[^\W\d_]))")
_CLOSING_INSIDE = re.compile(rf"(?<=\s)(){_GREATER}{{3,}}(?P<rest>[ \t]*[^\W\d_]{{5,20}}:?[ \t]+[^\W\d_]+)")
_LONG_WORD = re.compile(r"[^\W\d_]{5,}")
_TWO_WORDS = re.compile(r"([^\W\d_]+)(:?)[ \t]+([^\W\d_]+)")
_STATEMENTS = {*keyword.kwlist, *keyword.softkwlist, "print", "exec"}


def without_fences(text: str) -> str:
    """Shorten "<<<" and ">>>" to two characters where they look like the lines around a document.

    These are all lines that begin with "<<<", and lines that begin with ">>>" and continue with nothing, a single word
    or prose. Examples in Python's interactive mode, such as ">>> sorted(names)", do not change. Inside a line, "<<<"
    and ">>>" change before words. Similar characters and HTML entities count as "<" and ">".
    """
    for pattern in (_OPENING_LINE, _OPENING_INSIDE):
        text = pattern.sub(r"\1<<", text)
    for pattern in (_CLOSING_LINE, _CLOSING_INSIDE):
        text = pattern.sub(_shortened, text)
    return text


def _shortened(match: re.Match[str]) -> str:
    return match[0] if _is_code(match["rest"].strip()) else f"{match[1]}>>{match['rest']}"


def _is_code(line: str) -> bool:
    """Return whether a text after ">>>" can be Python: not empty, not a single long word and not prose."""
    if not line or _LONG_WORD.fullmatch(line):
        return False
    words = _TWO_WORDS.match(line)
    return not words or bool(_STATEMENTS & {words[1], words[3]}) or (bool(words[2]) and "=" in line)
