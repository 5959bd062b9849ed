"""Make text safe for a terminal. Queries, documents, ids and file names may contain control characters."""

from __future__ import annotations

import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_BIDI}\ud800-\udfff]")
"""Characters that move the cursor, start an escape sequence or change the direction of text, and lone surrogates."""


def printable(text: str) -> str:
    r"""Replace control characters with visible escapes such as \x1b. Keeps tabs and newlines."""
    return _UNSAFE.sub(lambda match: _escaped(ord(match[0])), text)


def printable_json(text: str) -> str:
    r"""Replace the control characters in the strings of a JSON text with escapes such as \u001b, which JSON reads."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
