"""Tokenize the pairs of concurrent requests in one thread, a few documents at a time, fairly between callers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from actors.serving.scoring.fair_order import FairOrder
from students.scoring import TokenizedPair

_DOCUMENTS_AT_ONCE = 16


class PairTokenizer(Protocol):
    """Interface of a scorer, as the tokenizer thread uses it."""

    max_length: int

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
    """

    query: str
    documents: Sequence[str]
    max_tokens_per_doc: int | None = None
    truncate: bool = True
    field: str = "documents"


@dataclass(eq=False)
class _PendingRequest:
    scorer: PairTokenizer
    texts: TextsToTokenize
    caller: str
    due: int
    future: Future[list[TokenizedPair]] = field(default_factory=Future)
    rows: list[TokenizedPair] = field(default_factory=list)


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

    def submit(self, scorer: PairTokenizer, texts: TextsToTokenize, caller: str = "") -> Future[list[TokenizedPair]]:
        """Queue the texts of a request.

        Returns:
            A future of one tokenized pair per document. It may be cancelled. It raises a `TooLongError` if a pair is
            too long and must not be truncated, and the exception of the tokenizer if it fails.
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
        start = len(request.rows)
        documents = request.texts.documents[start : start + _DOCUMENTS_AT_ONCE]
        try:
            with self.lock:
                request.rows += _tokenize(request.scorer, request.texts, documents, start)
        except Exception as error:
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(error)
            return True
        self._documents += len(documents)
        if len(request.rows) < len(request.texts.documents):
            return False
        if request.future.set_running_or_notify_cancel():
            request.future.set_result(request.rows)
        return True


def _tokenize(
    scorer: PairTokenizer, texts: TextsToTokenize, documents: Sequence[str], start: int
) -> list[TokenizedPair]:
    if texts.max_tokens_per_doc is not None:
        documents = [scorer.cut(document, texts.max_tokens_per_doc) for document in documents]
    rows = scorer.tokenized([(texts.query, document) for document in documents])
    if not texts.truncate:
        for i, row in enumerate(rows):
            if row.tokens == scorer.max_length and scorer.is_cut((texts.query, documents[i])):
                raise TooLongError(
                    f"{texts.field}[{start + i}] and the query have more than {scorer.max_length} tokens; "
                    "set truncate to true"
                )
    return rows
