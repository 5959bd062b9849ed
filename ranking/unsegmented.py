"""Split text in unsegmented scripts into terms. These scripts put no spaces between words.

They are Han, kana, Thai, Lao, Khmer and Burmese. Overlapping character bigrams serve as terms.
"""

from __future__ import annotations

import re

CHARACTERS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters of unsegmented scripts, for use inside a regular expression's character class."""

RUN = re.compile(f"([{CHARACTERS}]+)")
"""Regular expression that matches a maximal run of such characters, as group 1."""


def pairs(run: str) -> list[str]:
    """Split a run of unsegmented characters into overlapping bigrams. A single character is returned as one term."""
    return [run[start : start + 2] for start in range(max(1, len(run) - 1))]


def separate_bigrams(text: str) -> str:
    """Replace each run of unsegmented characters with its bigrams, separated by spaces. Other text is unchanged."""
    return text if text.isascii() else RUN.sub(lambda match: f" {' '.join(pairs(match[0]))} ", text)
