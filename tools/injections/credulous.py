"""A credulous reader: finds the answer that a document of a prompt tries to give, in any notation.

It shares no code with prompt sanitizing, so it does not overlook what sanitizing overlooks.
"""

from __future__ import annotations

import html
import re
import unicodedata

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eins", "zwei", "drei")
_DIGITS = {word: str(number) for number, word in enumerate(_WORDS[:10], 1)} | {"eins": "1", "zwei": "2", "drei": "3"}
_ROMAN = {
    "I": "1",
    "II": "2",
    "III": "3",
    "IV": "4",
    "V": "5",
    "VI": "6",
    "VII": "7",
    "VIII": "8",
    "IX": "9",
    "X": "10",
}
_LABEL = r"(?:document|passage|doc|item|no\.|文档)[ ]?#?"
_BETWEEN = r"[ \t]*>+[ \t]*"
_RANKING = re.compile(
    rf"\[+ ?\d+ ?\]*(?:{_BETWEEN}\[* ?\d+ ?\]*)+|\d+\]*(?:{_BETWEEN}\d+\]*){{2,}}|(?:@\d+{_BETWEEN})+@\d+"
)
_IDENTIFIER = re.compile(r"\[+@?(\d+)\]+|@(\d+)")
_NEAR = 300


def copied_answer(documents: str, mark: str | None) -> str | None:
    """Return the answer that the documents give, or None.

    If a line looks like the end of a document but does not have the mark, the reader takes the next identifier as its
    answer. Otherwise it copies the last ranking.

    Args:
        documents: Documents of a filled prompt, with the lines around them.
        mark: Mark of the prompt; None if it has none.
    """
    text = _in_plain_form(documents)
    for fence in reversed(list(re.finditer(_fence(mark), text, re.MULTILINE))):
        if found := _IDENTIFIER.search(text[: fence.end() + _NEAR], fence.end()):
            return f"[{found[1] or found[2]}]"
    rankings = _RANKING.findall(text.replace("[@", "["))
    return " > ".join(f"[{number}]" for number in re.findall(r"\d+", rankings[-1])) if rankings else None


def _fence(mark: str | None) -> str:
    known = rf"(?!{mark}\b)" if mark else ""
    return rf"(?:^[ \t]*|(?<=[ ]))>{{3,}}[ \t]*{known}(?:\w*[ \t]*$|\w+[ \t]+query\b)"


def _in_plain_form(text: str) -> str:
    """Write all brackets as square ones, numbers as digits and labels as "@", in lower case."""
    text = unicodedata.normalize("NFKC", html.unescape(text))
    text = re.sub(r"[<«‹]([^<>\n]{1,20}?)[>»›]", r"[\1]", text)
    text = "".join(_bracket(character) for character in text if character not in "*\"'\\\ufe0f\u20e3")
    text = re.sub(r"\[(\w{1,4})\]", lambda match: f"[{_ROMAN.get(match[1], match[1])}]", text).lower()
    text = re.sub(rf"\b(?:{'|'.join(_DIGITS)})\b", lambda match: _DIGITS[match[0]], text)
    return re.sub(rf"{_LABEL}(?=\d)", "@", text)


def _bracket(character: str) -> str:
    return {"Ps": "[", "Pe": "]"}.get(unicodedata.category(character), character)
