"""Make training lists for the list decoder: queries from passages, BM25 candidates, and vectors as targets."""

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
from ranking.prompts import control_tokens, sanitize
from ranking.storage.folder import Folder
from tools import texts
from tools.cross_material import Depths, bi_encoder, lists_of
from tools.list_decoder.state_layout import MAX_DOCUMENTS, MarkerTokens
from tools.list_prompts import DOCUMENT_TOKENS, QUERY_TOKENS, PromptWriter
from tools.texts import Passage

SCALE, MIDDLE = 8.0, 0.4
"""Training target of a document's score: 8 * (cosine - 0.4)."""

_DEPTHS = Depths(near=8, far=10, rank=60)
"""BM25 results to use. With the query's source passage and a random passage, a list has 20 candidates."""

VALIDATION_LISTS, CALIBRATION_LISTS = 200, 40
"""Number of validation lists, which share no passage with training lists, and of lists that calibrate the scores."""


@dataclass(frozen=True)
class Material:
    """Lists of documents, and unit vectors as training targets.

    Attributes:
        writer: Writes the prompts.
        query_tokens: Token ids of each list's query.
        lists: For each list, the indices of its texts.
        queries: Vectors of the queries, [lists, dimensions].
        documents: Vectors of the texts, [texts, dimensions].
    """

    writer: PromptWriter
    query_tokens: Sequence[Sequence[int]]
    lists: Sequence[Sequence[int]]
    queries: Tensor
    documents: Tensor

    def prompt(self, number: int, order: Sequence[int] | None = None) -> Tensor:
        """Return a list as a prompt, [tokens].

        Args:
            number: Index of the list.
            order: Order of the list's documents. Default: as stored.
        """
        shown = self.lists[number] if order is None else [self.lists[number][position] for position in order]
        return torch.tensor(self.writer.prompt(self.query_tokens[number], shown))

    def vectors(self, number: int) -> Tensor:
        """Return the query vector and the document vector for each document of a list, [documents, 2, dimensions]."""
        documents = self.documents[self.lists[number]].float()
        return torch.stack([self.queries[number].float().expand_as(documents), documents], 1)

    def targets(self, number: int) -> Tensor:
        """Return the target scores of a list, [documents]."""
        return SCALE * (self.vectors(number).prod(1).sum(-1) - MIDDLE)


def load_material(
    folder: Path, count: int, passages: int, seed: int, tokenizer: PreTrainedTokenizerFast, tokens: MarkerTokens
) -> Material:
    """Build the validation and training lists, or load them from the folder if they exist.

    Args:
        folder: Folder of the lists and vectors.
        count: Number of training lists. In the result, they follow the VALIDATION_LISTS validation lists.
        passages: Maximum number of passages. A fifth is for validation.
        seed: Random seed.
        tokenizer: The decoder's tokenizer.
        tokens: Marker tokens.

    Raises:
        InputError: The folder contains lists made with other parameters, or there are too few passages.
    """
    path, parameters = folder / "lists.json", {"lists": count, "passages": passages, "seed": seed}
    if not path.exists():
        Folder(folder).write_text(
            path.name, json.dumps({"made": parameters, **_build(folder, count, passages, seed, tokenizer)})
        )
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["made"] != parameters:
        raise InputError(
            f"{path} was made with {stored['made']}, not with {parameters}; use another folder or the same parameters"
        )
    with np.load(folder / "vectors.npz") as loaded:
        queries, documents = torch.from_numpy(loaded["queries"]), torch.from_numpy(loaded["documents"])
    lists = [row["passages"] for row in stored["lists"]]
    print(f"{len(lists):,} lists, {sum(map(len, lists)):,} pairs over {len(stored['texts']):,} texts", flush=True)
    pieces = [pieces_of(tokenizer, text, DOCUMENT_TOKENS) for text in stored["texts"]]
    query_tokens = [pieces_of(tokenizer, row["query"], QUERY_TOKENS) for row in stored["lists"]]
    return Material(PromptWriter(tokens, pieces), query_tokens, lists, queries, documents)


def _build(
    folder: Path, count: int, max_passages: int, seed: int, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """Return texts and lists, validation lists first, and write their vectors to the folder."""
    encoder = bi_encoder()
    vectors: list[np.ndarray] = []
    all_texts: list[str] = []
    rows: list[dict[str, Any]] = []

    def encode(batch: Sequence[str]) -> np.ndarray:
        """Encode texts truncated as in the prompts. Called with queries and with documents in turns, queries first."""
        tokens = DOCUMENT_TOKENS if len(vectors) % 2 else QUERY_TOKENS
        vectors.append(encoder([truncate(tokenizer, text, tokens) for text in batch]))
        return vectors[-1]

    splits = split_passages(texts.sample_passages(max_passages, seed), seed)
    for passages, wanted in zip(splits, (VALIDATION_LISTS, count), strict=True):
        pool, lists = lists_of(passages, wanted, encode, seed, _DEPTHS)
        if len(lists) < wanted:
            raise InputError(
                f"{len(passages):,} passages are too few for {wanted:,} lists; raise --passages or lower --lists"
            )
        rows += [
            {"query": row.query, "passages": [len(all_texts) + number for number in row.passages[:MAX_DOCUMENTS]]}
            for row in lists
        ]
        all_texts += pool
    queries, documents = (np.concatenate(vectors[start::2]).astype(np.float16) for start in range(2))
    np.savez(folder / "vectors.npz", queries=queries, documents=documents)
    return {"texts": all_texts, "lists": rows}


def split_passages(passages: Sequence[Passage], seed: int) -> tuple[list[Passage], list[Passage]]:
    """Split passages into a fifth for validation and the rest for training.

    Drops passages that share an 8-gram of words with a passage, logged query or test question of the pydoc collection,
    and validation passages that share an 8-gram with a training passage.

    Returns:
        Validation passages and training passages.
    """
    pydoc = read()
    known = [*(document.text for document in pydoc.documents), *(query.text for query in [*pydoc.log, *pydoc.test])]
    in_pydoc = texts.overlapping([passage.text for passage in passages], known)
    usable = [passage for number, passage in enumerate(passages) if number not in in_pydoc]
    random.Random(seed).shuffle(usable)
    validation, training = usable[: len(usable) // 5], usable[len(usable) // 5 :]
    in_training = texts.overlapping([passage.text for passage in validation], (passage.text for passage in training))
    print(
        f"dropped {len(in_pydoc):,} passages that overlap with pydoc, {len(in_training):,} that overlap with training",
        flush=True,
    )
    return [passage for number, passage in enumerate(validation) if number not in in_training], training


def pieces_of(tokenizer: PreTrainedTokenizerFast, text: str, max_tokens: int) -> list[int]:
    """Return a text's token ids as in the teacher's prompts: truncated, then sanitized against prompt injection.

    Sanitizing can add a few tokens.
    """
    return list(
        tokenizer(sanitize(truncate(tokenizer, text, max_tokens), control_tokens(tokenizer)), add_special_tokens=False)[
            "input_ids"
        ]
    )


def truncate(tokenizer: PreTrainedTokenizerFast, text: str, max_tokens: int) -> str:
    """Truncate a text to a number of tokens."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text[: offsets[max_tokens - 1][1]] if len(offsets) > max_tokens else text
