"""Prompt sanitizing: rewrite text of queries and documents that looks like a part of the prompt or like an answer."""

from __future__ import annotations

from collections.abc import Iterable

from ranking.prompts.fences import without_fences
from ranking.prompts.hidden_characters import without_hidden
from ranking.prompts.identifiers import without_identifiers

SANITIZING = 2
"""Version of sanitizing and of the fence, which is part of the hash of each prompt. Increase it with every change."""


def sanitize(text: str, special_tokens: Iterable[str] = ()) -> str:
    """Rewrite document identifiers, rankings, fences and special tokens.

    "[3]" becomes "(3)", "[3] > [1]" becomes "(3), (1)", ">>>" before prose becomes ">>", and special tokens lose their
    brackets and bars. Invisible characters are removed. Words, scripts and line breaks do not change.
    `without_identifiers`, `without_fences` and `without_hidden` define what is rewritten.

    Instructions in plain words remain: only the rules in the prompt and the fence around each document protect against
    them.

    Args:
        text: Text of a query or document.
        special_tokens: Special tokens of the tokenizer.
    """
    text = without_hidden(text)
    for token in sorted(special_tokens, key=lambda token: -len(token)):
        if token.strip() and token in text:
            text = text.replace(token, f" {token.strip('<>|[]{}/').strip() or ' '} ")
    while (cleaned := without_fences(without_identifiers(text))) != text:
        text = cleaned  # Repeat: each of the two can reveal text that the other one rewrites.
    return text
