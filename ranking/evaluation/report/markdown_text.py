"""Escape text for Markdown: it cannot add images, links, HTML, code or table cells to a report."""

from __future__ import annotations

import re

from ranking.terminal_text import printable

_SPECIAL = re.compile(r"[\\`\[\]|]")
_AUTOLINK = re.compile(r":(?=//)|(?<=www)\.|@(?=[\w.-]*\.\w)", re.IGNORECASE)
"""The character that turns a URL, a host name or an email address into a link on GitHub and in other renderers."""


def markdown_text(text: str) -> str:
    """Escape a text on one line. It renders as the same text."""
    line = " ".join(printable(text).split())
    escaped = _SPECIAL.sub(lambda match: f"\\{match[0]}", line.replace("&", "&amp;").replace("<", "&lt;"))
    return _AUTOLINK.sub(lambda match: f"&#{ord(match[0])};", escaped)
