"""Store RRA-GPT's prompt in its tokenizer.

Every library that tokenizes a (query, document) pair with it then builds the same prompt.
"""

from __future__ import annotations

from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

PARTS = ("Query:\n", "\nDocument:\n", "\nRelevant:")
"""Prompt texts before the query, before the document and at the end. The score is read at the last token."""

_NAMES = ("<rra_query>", "<rra_document>", "<rra_relevant>")
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def with_prompt_template(tokenizer: Any) -> PreTrainedTokenizerFast:
    """Return a tokenizer that puts (query, document) pairs into the prompt.

    The prompt starts with the tokens that the given tokenizer adds before a text, such as a BOS token. The tokens of
    `PARTS` count as special tokens: they belong to neither query nor document and are never truncated. Padding is on
    the right. The wording of the prompt is this project's own.

    Args:
        tokenizer: A fast tokenizer with a pad token.

    Returns:
        A new tokenizer of the generic class `PreTrainedTokenizerFast`, because model-specific tokenizer classes rebuild
        their own post-processor on load.
    """
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in PARTS]
    with_special = tokenizer.encode("x", add_special_tokens=True)
    without_special = tokenizer.encode("x", add_special_tokens=False)
    ids[0] = with_special[: with_special.index(without_special[0])] + ids[0]
    special = [
        {"id": name, "ids": part, "tokens": tokenizer.convert_ids_to_tokens(part)}
        for name, part in zip(_NAMES, ids, strict=True)
    ]
    backend = tokenizer.backend_tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    first, second, last = _NAMES
    backend.post_processor = TemplateProcessing(
        single=f"{first} $A {second} {last}", pair=f"{first} $A:0 {second} $B:0 {last}", special_tokens=special
    )
    named = {name: getattr(tokenizer, name) for name in _SPECIAL if getattr(tokenizer, name)}
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="right", model_input_names=inputs, **named)
