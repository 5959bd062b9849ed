"""The tokenizer thread: order between callers and requests, failures and cancellation."""

import threading

import pytest

from actors.serving.scoring.tokenizing import TextsToTokenize, TokenizerQueue, TooLongError
from students.scoring import TokenizedPair


class FakeTokenizer:
    """A tokenizer of one token per character. Blocks while `may_run` is cleared, and records its documents."""

    max_length = 8
    passages = None

    def __init__(self):
        self.seen = []
        self.entered, self.may_run = threading.Event(), threading.Event()
        self.may_run.set()

    def tokenized(self, pairs):
        self.entered.set()
        assert self.may_run.wait(10)
        self.seen += [document for _, document in pairs]
        if any(document == "bad" for _, document in pairs):
            raise ValueError("bad document")
        return [TokenizedPair({"input_ids": [1] * min(8, len(document))}, 8) for _, document in pairs]

    def cut(self, document, tokens):
        return document[:tokens]

    def is_cut(self, pair):
        return len(pair[1]) > self.max_length


@pytest.fixture
def queue():
    queue = TokenizerQueue()
    yield queue
    queue.close()


@pytest.fixture
def tokenizer():
    return FakeTokenizer()


def texts(*documents, **options):
    return TextsToTokenize("q", documents, **options)


def test_rows_are_in_request_order(queue, tokenizer):
    rows = queue.submit(tokenizer, texts(*("x" * (n % 7) for n in range(100)))).result(5).rows
    assert [row.tokens for row in rows] == [n % 7 for n in range(100)]
    assert queue.submit(tokenizer, texts()).result(5).rows == []


def test_a_small_request_does_not_wait_for_large_ones_of_another_caller(queue, tokenizer):
    tokenizer.may_run.clear()
    large = [queue.submit(tokenizer, texts(*["long"] * 1000), "a") for _ in range(3)]
    assert tokenizer.entered.wait(5)
    small = queue.submit(tokenizer, texts("small"), "b")
    tokenizer.may_run.set()
    small.result(5)
    assert [len(future.result(5).rows) for future in large] == [1000] * 3
    assert tokenizer.seen.index("small") <= 32


def test_a_small_request_of_the_same_caller_is_served_before_a_large_one_ends(queue, tokenizer):
    tokenizer.may_run.clear()
    large = queue.submit(tokenizer, texts(*["long"] * 1000))
    assert tokenizer.entered.wait(5)
    small = queue.submit(tokenizer, texts("small"))
    tokenizer.may_run.set()
    small.result(5), large.result(5)
    assert tokenizer.seen.index("small") < 100


def test_a_failure_concerns_only_its_own_request(queue, tokenizer):
    failing, fine = queue.submit(tokenizer, texts("bad")), queue.submit(tokenizer, texts("fine"))
    with pytest.raises(ValueError, match="bad document"):
        failing.result(5)
    assert len(fine.result(5).rows) == 1


def test_cancelled_requests_are_dropped(queue, tokenizer):
    tokenizer.may_run.clear()
    first = queue.submit(tokenizer, texts("first"))
    assert tokenizer.entered.wait(5)
    cancelled = queue.submit(tokenizer, texts("cancelled"))
    cancelled.cancel()
    tokenizer.may_run.set()
    first.result(5)
    queue.submit(tokenizer, texts("last")).result(5)
    assert tokenizer.seen == ["first", "last"]


def test_too_long_documents_are_named_if_they_must_not_be_truncated(queue, tokenizer):
    documents = ["ok"] * 20 + ["much too long"]
    with pytest.raises(TooLongError, match=r"documents\[20\] and the query have more than 8 tokens"):
        queue.submit(tokenizer, texts(*documents, truncate=False)).result(5)
    assert queue.submit(tokenizer, texts(*documents, max_tokens_per_doc=3)).result(5).rows[-1].tokens == 3
