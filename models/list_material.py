"""Lists that a decoder learns to rank: queries made of passages, candidates of BM25, and what a sentence encoder makes of both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from models import texts
from models.list_decoder.places import MOST, Tokens
from models.list_prompts import DOCUMENT_TOKENS, QUERY_TOKENS, PromptWriter
from models.lists import Depths, bi_encoder, lists_of
from ranking.collections.pydoc.passages import read_passages
from ranking.labelling.prompts import control_tokens, disarm
from ranking.storage import Folder

SCALE, MIDDLE = 8.0, 0.4
"""A document's score is learned to be 8 (cosine - 0.4)."""

_DEPTHS = Depths(near=8, far=10, rank=60)
"""With a query's own passage and a random one 20 candidates."""

HELD_OUT, FITTED = 200, 40
"""Lists that are not learned from; lists by which scale and shift of scores begin."""


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


def material_of(folder: Path, count: int, most: int, seed: int, tokenizer: PreTrainedTokenizerFast, tokens: Tokens) -> Material:
    """Made once; lists in which a text is, in part, one of the pydoc collection's are left out."""
    if not (folder / "lists.json").exists():
        encoder = bi_encoder()
        vectors: list[np.ndarray] = []

        def encode(given: Sequence[str]) -> np.ndarray:
            """Called for the queries, then for the texts."""
            vectors.append(encoder([cut(tokenizer, text, DOCUMENT_TOKENS if vectors else QUERY_TOKENS) for text in given]))
            return vectors[-1]

        pool, lists = lists_of(texts.passages_of(most, seed), count, encode, seed, _DEPTHS)
        np.savez(folder / "vectors.npz", queries=vectors[0].astype(np.float16), documents=vectors[1].astype(np.float16))
        made = [{"query": one.query, "passages": one.passages[:MOST]} for one in lists]
        Folder(folder).write_text("lists.json", json.dumps({"texts": pool, "lists": made}))
    held = json.loads((folder / "lists.json").read_text(encoding="utf-8"))
    with np.load(folder / "vectors.npz") as loaded:
        queries, documents = torch.from_numpy(loaded["queries"]), torch.from_numpy(loaded["documents"])
    shared = texts.sharing(held["texts"], (document.text for document in read_passages()))
    kept = [number for number, one in enumerate(held["lists"]) if shared.isdisjoint(one["passages"])][:count]
    if len(kept) < HELD_OUT + FITTED:
        raise SystemExit(f"{len(kept)} lists are too few: {HELD_OUT} are held out, and {FITTED} more are needed")
    read = [held["lists"][number] for number in kept]
    print(f"{len(read):,} lists, {sum(len(one['passages']) for one in read):,} pairs over {len(held['texts']):,} texts", flush=True)
    pieces = [pieces_of(tokenizer, text, DOCUMENT_TOKENS) for text in held["texts"]]
    asked = [pieces_of(tokenizer, one["query"], QUERY_TOKENS) for one in read]
    return Material(PromptWriter(tokens, pieces), asked, [one["passages"] for one in read], queries[kept], documents)


def pieces_of(tokenizer: PreTrainedTokenizerFast, text: str, most: int) -> list[int]:
    """A text as the teacher's prompts hold it: cut to so many tokens, then taken apart, by which it may become a little longer."""
    return list(tokenizer(disarm(cut(tokenizer, text, most), control_tokens(tokenizer)), add_special_tokens=False)["input_ids"])


def cut(tokenizer: PreTrainedTokenizerFast, text: str, most: int) -> str:
    """A text up to the last of so many tokens."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text[: offsets[most - 1][1]] if len(offsets) > most else text
