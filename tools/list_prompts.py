"""The tokenizer of the list decoder, and its prompts and answers as token ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders
from transformers import PreTrainedTokenizerFast

from tools.list_decoder.state_layout import MAX_DOCUMENTS, MarkerTokens

DOCUMENT_TOKENS, QUERY_TOKENS, POSITIONS = 64, 32, 1536
"""Maximum number of tokens per document and per query in training, and of positions of a prompt with its answer."""

_VOCABULARY = 26_000
"""Size of the vocabulary. A larger one would make the bf16 weights exceed 50 MB."""

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_TEMPLATE = "[CLS] {% for message in messages %}{{ message['content'] }} {% endfor %}[ANSWER]"
_NUMBERS = range(1, MAX_DOCUMENTS + 1)
_OPENING = [f"<{number}>" for number in _NUMBERS]
_FIRST, _LATER = [f"[{number}]" for number in _NUMBERS], [f" > [{number}]" for number in _NUMBERS]


def tokenizer_of(path: str) -> tuple[PreTrainedTokenizerFast, list[int], MarkerTokens]:
    """Build the decoder's tokenizer from a BERT tokenizer.

    Keeps the most frequent ASCII word pieces, and adds the marker tokens of prompts and answers.

    Args:
        path: Folder that contains tokenizer.json.

    Returns:
        The tokenizer, the encoder's token id for each of its tokens, and the marker tokens.
    """
    bert = Tokenizer.from_file(f"{path}/tokenizer.json")
    by_id = sorted(bert.get_vocab().items(), key=lambda pair: pair[1])
    vocabulary = [
        (piece, number)
        for piece, number in by_id
        if piece.isascii() and not piece.startswith("[unused") and piece != "[MASK]"
    ][:_VOCABULARY]
    ours = Tokenizer.from_str(json.dumps(_with_pieces(json.loads(bert.to_str()), [piece for piece, _ in vocabulary])))
    ours.decoder = decoders.Fuse()
    ours.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in (*_OPENING, "[DOC]", "[ANSWER]")]
    )
    ours.add_tokens([AddedToken(text, special=False, normalized=False) for text in (*_FIRST, *_LATER)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=ours,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        clean_up_tokenization_spaces=False,
        model_max_length=POSITIONS,
        chat_template=_TEMPLATE,
    )
    ids = ours.get_vocab()
    opening, first, later = ([ids[text] for text in part] for part in (_OPENING, _FIRST, _LATER))
    encoder_ids = dict(vocabulary)
    words = (
        [encoder_id for _, encoder_id in vocabulary]
        + [encoder_ids["[CLS]"]] * MAX_DOCUMENTS
        + [encoder_ids["[SEP]"]] * (2 + 2 * MAX_DOCUMENTS)
    )
    return (
        tokenizer,
        words,
        MarkerTokens(ids["[CLS]"], ids["[DOC]"], ids["[ANSWER]"], ids["[SEP]"], opening, first, later),
    )


def _with_pieces(file: dict[str, Any], pieces: Sequence[str]) -> dict[str, Any]:
    """Return the content of a tokenizer.json with these word pieces as vocabulary, numbered from 0."""
    numbers = {piece: number for number, piece in enumerate(pieces)}
    special = [
        token | {"id": numbers[token["content"]]} for token in file["added_tokens"] if token["content"] in _SPECIAL
    ]
    model = file["model"] | {"vocab": numbers}
    return file | {
        "model": model,
        "added_tokens": special,
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }


@dataclass(frozen=True)
class PromptWriter:
    """Writes prompts and answers as token ids.

    Attributes:
        tokens: Marker tokens.
        pieces: Token ids of each text, truncated.
    """

    tokens: MarkerTokens
    pieces: Sequence[Sequence[int]]

    def prompt(self, query: Sequence[int], shown: Sequence[int]) -> list[int]:
        """Write a prompt.

        Args:
            query: Token ids of the query.
            shown: Indices of up to 20 texts, in prompt order.
        """
        ids = [self.tokens.begin, *query]
        for opening, text in zip(self.tokens.opening, shown, strict=False):
            ids += [opening, *self.pieces[text], self.tokens.document]
        return [*ids, self.tokens.answer]

    def answer(self, order: Sequence[int]) -> list[int]:
        """Write an answer.

        Args:
            order: Positions of the listed documents in the prompt, from 0, best first.
        """
        return [(self.tokens.later if rank else self.tokens.first)[number] for rank, number in enumerate(order)]
