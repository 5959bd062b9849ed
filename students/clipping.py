"""Shorten long texts before they are tokenized, without a change to the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CHARACTERS_PER_TOKEN = 64
"""A text is never read beyond this number of characters per token of the limit."""

_FIRST_TRY = 8
"""Characters per token of the first attempt. English has about 4.5."""

_SPARE_TOKENS = 32
"""Tokens beyond the limit that a shortened text must have, because its last tokens can differ from the whole text's."""


def clip(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[str]:
    """Shorten texts to beginnings that have the same first `max_length` tokens.

    Tokenizing takes time proportional to the whole text even if the model reads only its first tokens, and memory
    proportional to the product of both lengths if query and document are too long. A long text is therefore cut at 8
    characters per token, and at 16, 32 and 64 if this leaves fewer than `max_length` tokens. A text with more than 64
    characters per token, such as 10,000 spaces, is cut there and may lose tokens.

    Args:
        tokenizer: A fast tokenizer.
        texts: The texts.
        max_length: Number of tokens that must not change.
    """
    clipped = list(texts)
    factor, tokens = _FIRST_TRY, max_length + _SPARE_TOKENS
    waiting = [i for i, text in enumerate(texts) if len(text) > factor * tokens]
    while waiting:
        for i in waiting:
            clipped[i] = _beginning(texts[i], factor * tokens)
        if factor >= CHARACTERS_PER_TOKEN:
            break
        unique = list(dict.fromkeys(clipped[i] for i in waiting))
        encoded = tokenizer(unique, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        counts = {text: len(ids) for text, ids in zip(unique, encoded, strict=True)}
        waiting = [i for i in waiting if counts[clipped[i]] < tokens]
        factor *= 2
        for i in waiting:
            clipped[i] = texts[i]
        waiting = [i for i in waiting if len(texts[i]) > factor * tokens]
    return clipped


def clip_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> list[tuple[str, str]]:
    """Shorten (query, document) pairs that will be truncated to `max_length` tokens, the longer text first.

    If a query alone has more than half of the tokens, its length and the document's determine how many tokens each
    keeps. Such pairs are cut at 64 characters per token only.

    Args:
        tokenizer: A fast tokenizer.
        pairs: (query, document) pairs.
        max_length: Maximum tokens per pair.
    """
    queries = list(dict.fromkeys(query for query, _ in pairs))
    candidates = [query for query in queries if len(query) > max_length // 2]  # a token has at least one character
    clipped = dict(zip(candidates, clip(tokenizer, candidates, max_length), strict=True))
    counts = tokenizer(list(clipped.values()), add_special_tokens=False, verbose=False)["input_ids"] if clipped else []
    long = {query for query, ids in zip(candidates, counts, strict=True) if len(ids) > max_length // 2}
    documents = clip(tokenizer, [document for query, document in pairs if query not in long], max_length)
    remaining, characters = iter(documents), CHARACTERS_PER_TOKEN * (max_length + _SPARE_TOKENS)
    return [
        (query[:characters], document[:characters]) if query in long else (clipped.get(query, query), next(remaining))
        for query, document in pairs
    ]


def _beginning(text: str, characters: int) -> str:
    """Return at most the first `characters` characters, up to a space if there is one in their second half."""
    end = text.rfind(" ", characters // 2, characters)
    return text[: end if end > 0 else characters]
