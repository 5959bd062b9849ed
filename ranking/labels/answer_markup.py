"""Remove what is not part of an LLM's answer: thinking, tags, special tokens, invisible characters."""

from __future__ import annotations

import re
import unicodedata

_NAMES = "think(?:ing)?|thought|reasoning"
_THINKING = re.compile(rf"[<\[]/?(?:{_NAMES})[>\]]", re.IGNORECASE)
_BLOCK = re.compile(rf"[<\[](?:{_NAMES})[>\]].*?[<\[]/(?:{_NAMES})[>\]]", re.IGNORECASE | re.DOTALL)
_CHAIN_SIGN = re.compile(r"[\[\]>]")
_TAG = re.compile(r"</?[a-z_]{1,20}\s?/?>|<[|｜][^<>|｜\s]{1,40}[|｜]>", re.IGNORECASE)
_EMPHASIS = re.compile(r"(?<!\d)[*`]+|[*`]+(?!\d)")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)


def strip_thinking(raw: str) -> tuple[str, bool]:
    """Return the text after the last thinking tag (such as `</think>`), and whether there was such a tag.

    If the last tag is an opening tag, the returned text is empty.
    """
    tags = list(_THINKING.finditer(raw))
    if not tags:
        return raw, False
    return (raw[tags[-1].end() :] if "/" in tags[-1].group() else ""), True


def thinks_amid_answer(raw: str) -> bool:
    """Return whether thinking follows the beginning of an answer, so the text after it is only a part of the answer.

    An answer has begun if there is a bracket or `>` outside complete blocks such as `<think>...</think>`. Prompts often
    contain the opening tag, so text before a single closing tag is thinking, unless it has no letters.
    """
    *between, last = _BLOCK.split(raw)
    tags = list(_THINKING.finditer(last))
    if tags and not any(map(str.isalpha, last[: tags[-1].start()])):
        between.append(last[: tags[-1].start()])
    return any(_CHAIN_SIGN.search(strip_markup(text)) for text in between)


def strip_markup(text: str) -> str:
    """Remove invisible characters, tags without attributes (`<answer>`, `</s>`) and special tokens (`<|im_end|>`).

    Invisible characters are Unicode's format and control characters, such as zero-width spaces and byte order marks,
    and variation selectors. White space stays.
    """
    return _TAG.sub(" ", "".join(filter(_is_visible, text)))


def strip_emphasis(text: str) -> str:
    """Remove asterisks and backticks, Markdown's emphasis and code marks, except between two digits."""
    return _EMPHASIS.sub("", text)


def _is_visible(character: str) -> bool:
    return character.isspace() or (
        unicodedata.category(character) not in ("Cf", "Cc") and ord(character) not in _VARIATION_SELECTORS
    )
