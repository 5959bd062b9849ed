"""Sources of a Content-Security-Policy that allow the inline scripts and styles of a page, and no others."""

from __future__ import annotations

import base64
import hashlib
import re


def hash_source(content: str) -> str:
    """Return the source that allows an inline element with this content."""
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def hash_sources(page: str, element: str) -> str:
    """Return the sources that allow all elements of one kind in a page.

    Args:
        page: The page without any text from outside, because the elements of such a text would be allowed too.
        element: `script` or `style`. Elements with attributes are not allowed.
    """
    return " ".join(map(hash_source, re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)))
