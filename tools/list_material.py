"""Lists that a decoder learns to rank: queries made of passages, candidates of BM25, and what a sentence encoder makes of both."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from ranking.collections.pydoc import read
from ranking.errors import InputError
from ranking.prompts import control_tokens, disarm
from ranking.storage.folder import Folder
from tools import texts
from tools.cross_material import Depths, bi_encoder, lists_of
from tools.list_decoder.places import MOST, MarkerTokens
from tools.list_prompts import DOCUMENT_TOKENS, QUERY_TOKENS, PromptWriter
from tools.texts import Passage

SCALE, MIDDLE = 8.0, 0.4
"""A document's score is learned to be 8 (cosine - 0.4)."""

_DEPTHS = Depths(near=8, far=10, rank=60)
"""With a query's own passage and a random one 20 candidates."""

HELD_OUT, FITTED = 200, 40
"""Lists that are not learned from, nor any of their passages; lists by which scale and shift of scores begin."""


@dataclass(frozen=True)
class Material:
    """Lists as they are read, and unit vectors to learn from: [lists, dimensions] and [texts, dimensions]. asked: each query's tokens."""

    writer: PromptWriter
    asked: Sequence[Sequence[int]]
    lists: Sequence[Sequence[int]]
    queries: Tensor
    documents: Tensor

    def prompt(self, number: int, order: Sequence[int] | None = None) -> Tensor:
        """A list as a prompt, [tokens]. order: of its documents."""
        shown = self.lists[number] if order is None else [self.lists[number][place] for place in order]
        return torch.tensor(self.writer.prompt(self.asked[number], shown))

    def vectors(self, number: int) -> Tensor:
        """The query's and the document's, for each document: [documents, 2, dimensions]."""
        documents = self.documents[self.lists[number]].float()
        return torch.stack([self.queries[number].float().expand_as(documents), documents], 1)

    def targets(self, number: int) -> Tensor:
        """[documents]"""
        return SCALE * (self.vectors(number).prod(1).sum(-1) - MIDDLE)


def material_of(
    folder: Path, count: int, most: int, seed: int, tokenizer: PreTrainedTokenizerFast, tokens: MarkerTokens
) -> Material:
    """So many lists to learn from, behind HELD_OUT others of other passages; made once, and read from the folder after that.

    most: passages, of which a fifth is for the lists that are held out. InputError where the folder holds other lists than those.
    """
    path, asked_for = folder / "lists.json", {"lists": count, "passages": most, "seed": seed}
    if not path.exists():
        Folder(folder).write_text(
            path.name, json.dumps({"made": asked_for, **_made(folder, count, most, seed, tokenizer)})
        )
    held = json.loads(path.read_text(encoding="utf-8"))
    if held["made"] != asked_for:
        raise InputError(
            f"{path} was made with {held['made']}, not with {asked_for}: name another folder, or the same numbers"
        )
    with np.load(folder / "vectors.npz") as loaded:
        queries, documents = torch.from_numpy(loaded["queries"]), torch.from_numpy(loaded["documents"])
    lists = [one["passages"] for one in held["lists"]]
    print(f"{len(lists):,} lists, {sum(map(len, lists)):,} pairs over {len(held['texts']):,} texts", flush=True)
    pieces = [pieces_of(tokenizer, text, DOCUMENT_TOKENS) for text in held["texts"]]
    asked = [pieces_of(tokenizer, one["query"], QUERY_TOKENS) for one in held["lists"]]
    return Material(PromptWriter(tokens, pieces), asked, lists, queries, documents)


def _made(folder: Path, count: int, most: int, seed: int, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Texts and lists; writes the vectors. The lists that are held out come first."""
    encoder = bi_encoder()
    vectors: list[np.ndarray] = []
    texts_made: list[str] = []
    made: list[dict[str, Any]] = []

    def encode(given: Sequence[str]) -> np.ndarray:
        """Called for the queries, then for the texts."""
        tokens = DOCUMENT_TOKENS if len(vectors) % 2 else QUERY_TOKENS
        vectors.append(encoder([cut(tokenizer, text, tokens) for text in given]))
        return vectors[-1]

    for passages, wanted in zip(parted(texts.passages_of(most, seed), seed), (HELD_OUT, count), strict=True):
        pool, lists = lists_of(passages, wanted, encode, seed, _DEPTHS)
        if len(lists) < wanted:
            raise InputError(
                f"{len(passages):,} passages are too few for {wanted:,} lists: raise --passages or lower --lists"
            )
        made += [
            {"query": one.query, "passages": [len(texts_made) + number for number in one.passages[:MOST]]}
            for one in lists
        ]
        texts_made += pool
    queries, documents = (np.concatenate(vectors[start::2]).astype(np.float16) for start in range(2))
    np.savez(folder / "vectors.npz", queries=queries, documents=documents)
    return {"texts": texts_made, "lists": made}


def parted(passages: Sequence[Passage], seed: int) -> tuple[list[Passage], list[Passage]]:
    """Passages to hold out, a fifth, and to learn from. Eight words in a row that one has in common with the pydoc collection's passages,
    log or questions, or one that is held out with one that is learned from, keep it out of both."""
    pydoc = read()
    known = [*(document.text for document in pydoc.documents), *(query.text for query in [*pydoc.log, *pydoc.test])]
    taken = texts.sharing([one.text for one in passages], known)
    left = [one for number, one in enumerate(passages) if number not in taken]
    random.Random(seed).shuffle(left)
    unseen, learned = left[: len(left) // 5], left[len(left) // 5 :]
    alike = texts.sharing([one.text for one in unseen], (one.text for one in learned))
    print(
        f"{len(taken):,} passages left out for the pydoc collection, {len(alike):,} as they are held out and like others",
        flush=True,
    )
    return [one for number, one in enumerate(unseen) if number not in alike], learned


def pieces_of(tokenizer: PreTrainedTokenizerFast, text: str, most: int) -> list[int]:
    """A text as the teacher's prompts hold it: cut to so many tokens, then taken apart, by which it may become a little longer."""
    return list(
        tokenizer(disarm(cut(tokenizer, text, most), control_tokens(tokenizer)), add_special_tokens=False)["input_ids"]
    )


def cut(tokenizer: PreTrainedTokenizerFast, text: str, most: int) -> str:
    """A text up to the last of so many tokens."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text[: offsets[most - 1][1]] if len(offsets) > most else text
