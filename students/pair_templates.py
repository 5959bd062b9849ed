"""What stands around a pair of texts, kept in a student's tokenizer: every library that tokenises a pair then builds it."""

from __future__ import annotations

from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

PARTS = ("Query:\n", "\nDocument:\n", "\nRelevant:")
"""What stands before the query, before the document, and last: the score is read at the last token."""

_NAMES = ("<rra_query>", "<rra_document>", "<rra_relevant>")
_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def with_prompt_template(tokenizer: Any) -> PreTrainedTokenizerFast:
    """A tokenizer that puts (query, document) into the prompt, what it adds before a text first (a BOS token, say).

    The parts do not count as segments of the pair, and are never cut. A pad token is needed, and the pads stand on the
    right. Words are this project's own. tokenizer: a fast one. Returns a new tokenizer of the generic class, so that no
    library makes the model's own post-processor again.
    """
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in PARTS]
    before = tokenizer.encode("x", add_special_tokens=True)
    alone = tokenizer.encode("x", add_special_tokens=False)
    ids[0] = before[: before.index(alone[0])] + ids[0]
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
