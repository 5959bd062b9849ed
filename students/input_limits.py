"""How many tokens of a text or of a pair a model reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_MAX_SEQ_LENGTH_FILE = "sentence_bert_config.json"
_UNLIMITED = 10**9
"""Tokenizers without a maximum have a huge one, 10**30 in transformers."""
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "luke",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Model types whose position IDs start at `pad_token_id + 1`, which leaves fewer positions for tokens."""


def max_positions(config: Any) -> int | None:
    """Return the maximum number of tokens that a model accepts, or None if it has no limit."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is not None and config.model_type in _POSITIONS_AFTER_PADDING:
        limit -= config.pad_token_id + 1
    return limit


def max_input_tokens(path: str, revision: str | None, config: Any, tokenizer: Any) -> int | None:
    """Return the maximum number of tokens of an input, special tokens included; None if there is no limit.

    It is the smallest of the model's positions, the tokenizer's maximum, and the `max_seq_length` of
    sentence-transformers, to which vLLM limits inputs too.

    Args:
        path: Folder or Hugging Face ID.
        revision: Revision of the model on the Hugging Face Hub.
        config: Configuration of the model.
        tokenizer: Tokenizer of the model.
    """
    limits = (max_positions(config.get_text_config()), _max_seq_length(path, revision), tokenizer.model_max_length)
    limit = min(limit for limit in limits if limit is not None)
    return int(limit) if limit < _UNLIMITED else None


def _max_seq_length(path: str, revision: str | None) -> int | None:
    from transformers.utils import cached_file

    file = cached_file(path, _MAX_SEQ_LENGTH_FILE, revision=revision, _raise_exceptions_for_missing_entries=False)
    length: int | None = json.loads(Path(file).read_text(encoding="utf-8")).get("max_seq_length") if file else None
    return length
