"""The demo page, which compares the first-stage ranking with the student's."""

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).with_name("index.html")


def _hashes_of(element: str) -> str:
    """Return the CSP sources that allow the page's own inline elements, and no others."""
    contents = re.findall(f"<{element}>(.*?)</{element}>", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    hashes = (hashlib.sha256(content.encode("utf-8")).digest() for content in contents)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in hashes)


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src {_hashes_of('script')}; style-src {_hashes_of('style')}; connect-src 'self'; "
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
