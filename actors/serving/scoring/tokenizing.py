"""Tokenize the pairs of concurrent requests in one thread, a few documents at a time, fairly between callers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.serving.scoring.fair_order import FairOrder
from ranking.passage_settings import PassageSettings
from students.passage_splitting import Span, split_documents
from students.scoring import TokenizedPair

_DOCUMENTS_AT_ONCE = 16
_SPLIT_AT_ONCE = 2
"""Documents at a time if they are split into passages."""


class PairTokenizer(Protocol):
    """Interface of a scorer, as the tokenizer thread uses it."""

    max_length: int
    tokenizer: Any
    passages: PassageSettings | None

    def tokenized(self, pairs: Sequence[tuple[str, str]]) -> list[TokenizedPair]:
        """Tokenize (query, document) pairs."""

    def cut(self, document: str, tokens: int) -> str:
        """Truncate a document to its first `tokens` tokens."""

    def is_cut(self, pair: tuple[str, str]) -> bool:
        """Return whether a pair has more tokens than the model's maximum length."""


class TooLongError(Exception):
    """A document exceeds the model's maximum length and the request forbids truncation."""


@dataclass(frozen=True)
class TextsToTokenize:
    """The texts of one request.

    Attributes:
        query: Text of the query.
        documents: Texts of the documents.
        max_tokens_per_doc: Maximum number of tokens of each document. None for the model's limit only.
        truncate: Whether to truncate pairs that exceed the model's maximum length.
        field: Name of the documents' field in the request, for messages.
        max_passages_per_doc: Maximum number of passages of each document. None for the model's limit only.
        heading_lengths: Characters at the start of each document that are its title, with the line break. They are
            repeated in front of each passage. None if no document has a title.
    """

    query: str
    documents: Sequence[str]
    max_tokens_per_doc: int | None = None
    truncate: bool = True
    field: str = "documents"
    max_passages_per_doc: int | None = None
    heading_lengths: Sequence[int] | None = None


@dataclass
class TokenizedTexts:
    """The tokenized pairs of one request.

    Attributes:
        rows: Pairs of query and document, or of query and passage, document by document.
        spans: For each document, the spans of its passages. Empty for a model without passages.
    """

    rows: list[TokenizedPair] = field(default_factory=list)
    spans: list[list[Span]] = field(default_factory=list)


@dataclass(eq=False)
class _PendingRequest:
    scorer: PairTokenizer
    texts: TextsToTokenize
    caller: str
    due: int
    future: Future[TokenizedTexts] = field(default_factory=Future)
    tokenized: TokenizedTexts = field(default_factory=TokenizedTexts)
    documents: int = 0


class TokenizerQueue:
    """Tokenizes all requests of a process in one thread, because tokenizers are not thread-safe.

    Works on slices of a few documents. The next slice belongs to the caller who has received the least service
    (`FairOrder`), and to this caller's request that would be finished first if it had been alone.
    """

    def __init__(self) -> None:
        """Start the thread."""
        self.lock = threading.Lock()
        """Must be acquired by other threads that use a scorer's tokenizer."""
        self._changed = threading.Condition()
        self._pending: list[_PendingRequest] = []
        self._order = FairOrder()
        self._documents = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="tokens", daemon=True)
        self._thread.start()

    def submit(self, scorer: PairTokenizer, texts: TextsToTokenize, caller: str = "") -> Future[TokenizedTexts]:
        """Queue the texts of a request.

        Returns:
            A future of one tokenized pair per document or passage. It may be cancelled. It raises a `TooLongError` if
            a document is too long and must not be truncated, and the exception of the tokenizer if it fails.
        """
        with self._changed:
            request = _PendingRequest(scorer, texts, caller, self._documents + len(texts.documents))
            self._pending.append(request)
            self._order.activate(caller)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Stop the thread after the current slice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._pending))
                if self._closed:
                    return
                self._pending = [request for request in self._pending if not request.future.cancelled()]
                self._order.retain(request.caller for request in self._pending)
                if not self._pending:
                    continue
                request = min(self._pending, key=lambda request: (*self._order.rank(request.caller), request.due))
            started = time.perf_counter()
            finished = self._tokenize_slice(request)
            with self._changed:
                self._order.charge(request.caller, time.perf_counter() - started)
                if finished and request in self._pending:
                    self._pending.remove(request)

    def _tokenize_slice(self, request: _PendingRequest) -> bool:
        """Tokenize the next documents of a request. Returns whether the request is finished."""
        start = request.documents
        try:
            at_once = _DOCUMENTS_AT_ONCE if request.scorer.passages is None else _SPLIT_AT_ONCE
            documents = request.texts.documents[start : start + at_once]
            with self.lock:
                tokenized = _tokenize(request.scorer, request.texts, documents, start)
        except Exception as error:
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(error)
            return True
        request.tokenized.rows += tokenized.rows
        request.tokenized.spans += tokenized.spans
        self._documents += len(documents)
        request.documents += len(documents)
        if request.documents < len(request.texts.documents):
            return False
        if request.future.set_running_or_notify_cancel():
            request.future.set_result(request.tokenized)
        return True


def _tokenize(scorer: PairTokenizer, texts: TextsToTokenize, documents: Sequence[str], start: int) -> TokenizedTexts:
    """Tokenize documents. `start` is the index of the first one in the request."""
    if scorer.passages is not None:
        return _tokenize_passages(scorer, texts, documents, start)
    if texts.max_tokens_per_doc is not None:
        documents = [scorer.cut(document, texts.max_tokens_per_doc) for document in documents]
    indices = range(start, start + len(documents))
    return TokenizedTexts(_tokenize_pairs(scorer, texts, documents, indices))


def _tokenize_passages(
    scorer: PairTokenizer, texts: TextsToTokenize, documents: Sequence[str], start: int
) -> TokenizedTexts:
    """Split documents into passages and tokenize these."""
    assert scorer.passages is not None
    tokenized = TokenizedTexts()
    for i, document in enumerate(documents, start):
        if texts.max_tokens_per_doc is not None:
            document = scorer.cut(document, texts.max_tokens_per_doc)
        heading = texts.heading_lengths[i] if texts.heading_lengths is not None else 0
        parts = [(document[:heading], document[heading:])]
        split = split_documents(scorer.tokenizer, parts, scorer.passages, texts.max_passages_per_doc)
        if split.shortened and not texts.truncate:
            raise TooLongError(f"{texts.field}[{i}] has more than {len(split.texts)} passages; set truncate to true")
        tokenized.rows += _tokenize_pairs(scorer, texts, split.texts, [i] * len(split.texts))
        tokenized.spans += split.spans
    return tokenized


def _tokenize_pairs(
    scorer: PairTokenizer, texts: TextsToTokenize, passages: Sequence[str], documents: Sequence[int]
) -> list[TokenizedPair]:
    """Tokenize the query with each passage. `documents` are the indices of their documents, for error messages."""
    rows = scorer.tokenized([(texts.query, passage) for passage in passages])
    if not texts.truncate:
        for i, row in enumerate(rows):
            if row.tokens == scorer.max_length and scorer.is_cut((texts.query, passages[i])):
                raise TooLongError(
                    f"{texts.field}[{documents[i]}] and the query have more than {scorer.max_length} tokens; "
                    "set truncate to true"
                )
    return rows
