"""The search page, which compares the first-stage ranking with the models that are served.

It is one HTML file with the style sheet and the scripts of this package inline. Its Content-Security-Policy allows
these by their hashes and nothing else. The scripts build all elements with `textContent`, never from markup.
"""

from __future__ import annotations

from importlib.resources import files

from ranking.content_policy import hash_sources

_SCRIPTS = ("requests.js", "lines.js", "judging.js", "results.js", "main.js")
"""The scripts in the order in which they run. They share one scope."""


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _assemble_page() -> str:
    style, script = _read("page.css"), "\n".join(map(_read, _SCRIPTS))
    return _read("index.html").replace("{style}", style).replace("{script}", script)


PAGE = _assemble_page()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src {hash_sources(PAGE, 'script')}; style-src {hash_sources(PAGE, 'style')}; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
