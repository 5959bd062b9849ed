"""Scripts that put no spaces between words: Han, kana, Thai, Lao, Khmer, Burmese. Two neighbouring characters stand for a term."""

from __future__ import annotations

import re

CHARACTERS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Their characters, for a class of a regular expression."""

RUN = re.compile(f"([{CHARACTERS}]+)")


def pairs(run: str) -> list[str]:
    """The neighbouring pairs of a run of such characters; one that stands alone is a term of its own."""
    return [run[start : start + 2] for start in range(max(1, len(run) - 1))]


def spaced(text: str) -> str:
    """The text with spaces between the pairs of its runs; one without such characters stays as it is."""
    return text if text.isascii() else RUN.sub(lambda found: f" {' '.join(pairs(found[0]))} ", text)
