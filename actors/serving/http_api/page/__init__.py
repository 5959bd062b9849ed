"""The demo page, which compares the first-stage ranking with the student's."""

from pathlib import Path

from ranking.content_policy import hash_sources

PAGE = Path(__file__).with_name("index.html")
_TEXT = PAGE.read_text(encoding="utf-8")

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src {hash_sources(_TEXT, 'script')}; style-src {hash_sources(_TEXT, 'style')}; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
