"""Split long documents into overlapping passages, and score a document by its best passage.

Pre-ranking, labelling, evaluation and serving call the same two functions, `split_documents` and `best_passages`.
Training reads the passage that is stored with each label. The maximum over passages is "MaxP" of Dai and Callan,
"Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR 2019.

This module does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ranking.passage_settings import PassageSettings
from ranking.records import content
from students.clipping import clip

if TYPE_CHECKING:
    from students.scoring import Scorer

Span = tuple[int, int]
"""Start and end of a passage: character offsets in the text of a document, without its title."""

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 per token that `estimated_passages` assumes: a little less than English has."""

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class SplitDocuments:
    """The passages of some documents.

    Attributes:
        texts: Texts of all passages, document by document, each with the heading of its document.
        spans: For each document, the spans of its passages; at least one.
        shortened: Number of documents whose text continues behind the last passage.
    """

    texts: list[str]
    spans: list[list[Span]]
    shortened: int


@dataclass(frozen=True)
class BestPassage:
    """The passage of a document with the highest score, and that score."""

    score: float
    span: Span


@dataclass(frozen=True)
class DocumentScores:
    """Scores of documents, and the number of documents whose text continues after the last passage."""

    scores: list[float]
    shortened: int


def split_documents(
    tokenizer: Any, documents: Sequence[tuple[str, str]], settings: PassageSettings, limit: int | None = None
) -> SplitDocuments:
    """Split documents into passages of at most `settings.tokens` tokens.

    A passage starts at every `settings.stride`-th token until a passage reaches the end of the text. Each passage is a
    substring of the text, preceded by the heading. Together they cover the text without a gap. A text of at most
    `settings.tokens` tokens is one passage.

    Args:
        tokenizer: Fast tokenizer of the model that reads the passages.
        documents: Pairs (heading, text). The heading is `ranking.records.content(title, "")`, which may be empty.
        settings: Size and number of the passages.
        limit: Lower limit of passages per document than `settings.max_per_document`, if any.
    """
    most = min(settings.max_per_document, limit or settings.max_per_document)
    # Tokenizers refuse lone surrogates. The replacement has the same length, so offsets stay valid.
    readable = [_LONE_SURROGATES.sub("\ufffd", text) for _, text in documents]
    clipped = clip(tokenizer, readable, settings.tokens + (most - 1) * settings.stride + 1)
    offsets = _offsets(tokenizer, clipped)
    texts: list[str] = []
    spans: list[list[Span]] = []
    shortened = 0
    for (heading, text), beginning, tokens in zip(documents, clipped, offsets, strict=True):
        own = _spans(tokens, len(beginning), settings, most)
        texts += [heading + text[start:end] for start, end in own]
        spans.append(own)
        shortened += own[-1][1] < len(text)
    return SplitDocuments(texts, spans, shortened)


def best_passages(scores: Sequence[float], spans: Sequence[Sequence[Span]]) -> list[BestPassage]:
    """Return the best passage of each document. Ties keep the first passage.

    Args:
        scores: Scores of all passages, document by document.
        spans: For each document, the spans of its passages.

    Raises:
        ValueError: The number of scores is not the number of passages.
    """
    if len(scores) != sum(map(len, spans)):
        raise ValueError(f"{len(scores)} scores for {sum(map(len, spans))} passages")
    best, first = [], 0
    for own in spans:
        winner = max(range(len(own)), key=lambda i: scores[first + i])
        best.append(BestPassage(scores[first + winner], own[winner]))
        first += len(own)
    return best


def score_documents(scorer: Scorer, query: str, documents: Sequence[tuple[str, str]]) -> DocumentScores:
    """Score documents for a query: each by its best passage, or by its beginning if the model has no passages.

    Args:
        scorer: The model. `scorer.passages` are its passage settings or None.
        query: Text of the query.
        documents: Pairs (title, text).
    """
    if scorer.passages is None:
        return DocumentScores(scorer.score([(query, content(title, text)) for title, text in documents]), 0)
    split = split_documents(
        scorer.tokenizer, [(content(title, ""), text) for title, text in documents], scorer.passages
    )
    scores = scorer.score([(query, passage) for passage in split.texts])
    return DocumentScores([best.score for best in best_passages(scores, split.spans)], split.shortened)


def estimated_passages(text: str, settings: PassageSettings, limit: int | None = None) -> int:
    """Estimate the number of passages of a text from its bytes, without tokenizing it. At least 1."""
    most = min(settings.max_per_document, limit or settings.max_per_document)
    tokens = len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN
    return min(most, 1 + max(0, -(-(tokens - settings.tokens) // settings.stride)))


def _offsets(tokenizer: Any, texts: Sequence[str]) -> list[list[Span]]:
    """Return the character offsets of the tokens of each text."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    offsets: list[list[Span]] = encoded["offset_mapping"]
    return offsets


def _spans(offsets: Sequence[Span], length: int, settings: PassageSettings, most: int) -> list[Span]:
    """Return the spans of the passages of a text.

    A passage ends where the next token starts, so a combining character stays with its base. Several tokens can have
    the same offsets, because a tokenizer may split a character; a passage without new text is dropped.

    Args:
        offsets: Character offsets of the text's tokens.
        length: Number of characters of the text.
        settings: Size of the passages.
        most: Maximum number of passages.
    """
    spans: list[Span] = []
    for first in range(0, max(1, len(offsets)), settings.stride):
        last = first + settings.tokens
        start = offsets[first][0] if first else 0
        end = length if last >= len(offsets) else max(offsets[last][0], offsets[last - 1][1])
        if not spans or end > spans[-1][1]:
            spans.append((start, end))
        if last >= len(offsets) or len(spans) == most:
            break
    return spans
