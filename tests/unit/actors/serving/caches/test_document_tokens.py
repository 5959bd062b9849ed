"""The cache of document tokens: the same rows for a real tokenizer, hits, promotion, long queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from actors.serving.caches.document_tokens import DocumentTokens
from actors.serving.caches.lookups import Lookups
from ranking.model_paths import model_path
from students.batches import tokenize
from students.scoring import Scorer, TokenizedPair

LENGTH = 32
DOCUMENTS = ["", "merge sorted lists", "word " * 100, "Zürich 漢字", "[SEP] x"]


def scorer(tokenizer=None, max_length=LENGTH):
    """Make a scorer with a tokenizer and without a model."""
    made = Scorer.__new__(Scorer)
    made.tokenizer = tokenizer or AutoTokenizer.from_pretrained(model_path("minilm-cross"))
    made.max_length = max_length
    return made


@pytest.fixture
def lookups():
    return []


@pytest.fixture
def cache(lookups):
    return DocumentTokens(2**20, lookups.append)


SHARED = DocumentTokens(20_000, lambda lookups: None)
SHARED_SCORER = scorer()
assert SHARED.attach(SHARED_SCORER)


@given(st.sampled_from(["", "q", "a longer query", "long " * 40]), st.lists(st.sampled_from(DOCUMENTS) | st.text()))
def test_rows_are_the_tokenizers_whatever_is_cached(query, documents):
    pairs = [(query, document) for document in documents]
    plain = scorer(SHARED_SCORER.tokenizer)
    assert SHARED_SCORER.tokenized(pairs) == plain.tokenized(pairs)
    assert SHARED.entries.size.bytes <= 20_000


def test_documents_are_tokenized_once_for_all_queries(cache, lookups):
    cached = scorer()
    cache.attach(cached)
    cached.tokenized([("one query", document) for document in DOCUMENTS])
    cached.tokenized([("another", document) for document in [*DOCUMENTS, "new", "new"]])
    assert lookups == [Lookups(0, 5), Lookups(5, 1)]


def test_long_query_does_not_use_the_cache(cache, lookups):
    cached = scorer()
    cache.attach(cached)
    pairs = [("word " * 20, document) for document in DOCUMENTS]
    rows = tokenize(cached.tokenizer, pairs, LENGTH)
    assert [row.inputs for row in cached.tokenized(pairs)] == rows
    assert not lookups


def test_versions_with_the_same_tokenizer_share_tokens(cache, lookups):
    first, second, shorter = scorer(), scorer(), scorer(max_length=16)
    for made in (first, second, shorter):
        cache.attach(made)
        made.tokenized([("q", "merge sorted lists")])
    assert lookups == [Lookups(0, 1), Lookups(1, 0), Lookups(0, 1)]


def test_scorer_whose_pairs_cannot_be_assembled_keeps_its_tokenizer(cache, lookups):
    left = scorer(AutoTokenizer.from_pretrained(model_path("minilm-cross"), truncation_side="left"))
    assert not cache.attach(left)
    assert [type(row) for row in left.tokenized([("q", "word " * 100)])] == [TokenizedPair]
    assert left.pair_tokenizer is None
    assert not lookups
