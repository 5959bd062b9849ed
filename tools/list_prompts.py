"""The tokenizer of a decoder that lists, and its prompts as tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders
from transformers import PreTrainedTokenizerFast

from tools.list_decoder.places import MOST, MarkerTokens

DOCUMENT_TOKENS, QUERY_TOKENS, POSITIONS = 64, 32, 1536
"""Documents and queries to learn from are cut to so many tokens; 20 of those documents, such a query and an answer fit."""

_WORDS = 26_000
"""Word pieces that are kept: with more, weights in bf16 would be above 50 MB."""

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_TEMPLATE = "[CLS] {% for message in messages %}{{ message['content'] }} {% endfor %}[ANSWER]"
_NUMBERS = range(1, MOST + 1)
_OPENING = [f"<{number}>" for number in _NUMBERS]
_FIRST, _LATER = [f"[{number}]" for number in _NUMBERS], [f" > [{number}]" for number in _NUMBERS]


def tokenizer_of(path: str) -> tuple[PreTrainedTokenizerFast, list[int], MarkerTokens]:
    """A BERT tokenizer's word pieces of ASCII characters, the rarest left out, and one token for each part of a prompt or an answer.

    path: of a folder with tokenizer.json. Returns also, of each token, the encoder's number, and the tokens that are no text.
    """
    held = Tokenizer.from_file(f"{path}/tokenizer.json")
    by_number = sorted(held.get_vocab().items(), key=lambda pair: pair[1])
    kept = [
        (piece, number)
        for piece, number in by_number
        if piece.isascii() and not piece.startswith("[unused") and piece != "[MASK]"
    ][:_WORDS]
    ours = Tokenizer.from_str(json.dumps(_with_pieces(json.loads(held.to_str()), [piece for piece, _ in kept])))
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
    number = ours.get_vocab()
    opening, first, later = ([number[text] for text in part] for part in (_OPENING, _FIRST, _LATER))
    known = dict(kept)
    words = [place for _, place in kept] + [known["[CLS]"]] * MOST + [known["[SEP]"]] * (2 + 2 * MOST)
    return (
        tokenizer,
        words,
        MarkerTokens(number["[CLS]"], number["[DOC]"], number["[ANSWER]"], number["[SEP]"], opening, first, later),
    )


def _with_pieces(written: dict[str, Any], pieces: Sequence[str]) -> dict[str, Any]:
    """A tokenizer's file with other word pieces, numbered anew."""
    numbers = {piece: number for number, piece in enumerate(pieces)}
    special = [
        token | {"id": numbers[token["content"]]} for token in written["added_tokens"] if token["content"] in _SPECIAL
    ]
    model = written["model"] | {"vocab": numbers}
    return written | {
        "model": model,
        "added_tokens": special,
        "post_processor": None,
        "padding": None,
        "truncation": None,
    }


@dataclass(frozen=True)
class PromptWriter:
    """Writes prompts and answers. pieces: the tokens of each text, cut."""

    tokens: MarkerTokens
    pieces: Sequence[Sequence[int]]

    def prompt(self, query: Sequence[int], shown: Sequence[int]) -> list[int]:
        """query: its tokens. shown: the numbers of the texts, in the order in which they stand in the prompt, up to 20."""
        held = [self.tokens.begin, *query]
        for opening, text in zip(self.tokens.opening, shown, strict=False):
            held += [opening, *self.pieces[text], self.tokens.document]
        return [*held, self.tokens.answer]

    def answer(self, order: Sequence[int]) -> list[int]:
        """order: places in the prompt, the first is 0."""
        return [(self.tokens.later if place else self.tokens.first)[number] for place, number in enumerate(order)]
