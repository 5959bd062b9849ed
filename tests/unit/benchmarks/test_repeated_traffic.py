"""The generator of repeated traffic: distribution, distinct documents, reproducibility, hit rates."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from benchmarks.serving.measure import LENGTH
from benchmarks.serving.repeated_traffic import ReplayRequest, Traffic, ZipfSampler, expected_hit_rates, hit_rate
from benchmarks.serving.replay import TRAFFIC, ReplayTexts
from ranking.model_paths import model_path


def first(traffic, count, **options):
    return list(itertools.islice(traffic.requests(**options), count))


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.0])
def test_ranks_follow_zipfs_law(exponent):
    sampler, rng, draws = ZipfSampler(20, exponent), random.Random(3), 20_000
    counts = Counter(sampler.draw(rng) for _ in range(draws))
    total = sum((rank + 1) ** -exponent for rank in range(20))
    for rank in range(20):
        share = (rank + 1) ** -exponent / total
        assert abs(counts[rank] / draws - share) < 5 * (share / draws) ** 0.5


@given(st.integers(1, 30), st.sampled_from([0.0, 0.8, 1.0]), st.integers())
def test_documents_of_a_query_are_distinct_and_in_range(count, exponent, seed):
    drawn = ZipfSampler(30, exponent).draw_distinct(random.Random(seed), count)
    assert len(set(drawn)) == len(drawn) == count
    assert all(0 <= rank < 30 for rank in drawn)


def test_query_has_the_same_documents_each_time_and_seeds_differ():
    traffic = Traffic(1.0, queries=20, documents=200, per_query=10)
    requests = first(traffic, 300)
    documents = {request.query: request.documents for request in requests}
    assert all(request.documents == documents[request.query] for request in requests)
    assert requests == first(traffic, 300) != first(traffic, 300, seed=2)


def test_popular_documents_repeat_across_queries_only_with_an_exponent():
    def shared(exponent):
        requests = first(Traffic(exponent, 1000, 50_000, 50), 100)
        different = {request.query: request for request in requests}.values()
        counts = Counter(document for request in different for document in request.documents)
        return max(counts.values())

    assert shared(0.0) < 5 < 50 < shared(1.0)


def test_hit_rate_of_a_small_cache_by_hand():
    assert hit_rate("abab", 2) == 0.5
    assert hit_rate("abcabc", 2) == 0.0  # each is evicted before it is looked up again
    assert hit_rate("abcabc", 3) == 0.5
    assert hit_rate("aba", 1) == 0.0
    assert hit_rate("", 1) == 0.0
    requests = [ReplayRequest(1, (5, 6)), ReplayRequest(2, (5, 7)), ReplayRequest(1, (5, 6))]
    assert expected_hit_rates(requests, 10, 10) == (2 / 6, 3 / 6)


def test_compared_traffic_is_the_documented_one():
    assert [traffic.exponent for traffic in TRAFFIC.values()] == [0.0, 0.8, 1.0]
    assert {(each.queries, each.documents, each.per_query) for each in TRAFFIC.values()} == {(10_000, 50_000, 50)}


def test_texts_differ_and_fit_into_the_model():
    tokenizer = AutoTokenizer.from_pretrained(model_path("minilm-cross"))
    texts = ReplayTexts(tokenizer)
    documents = [texts.document("Zipf 0.8", number) for number in range(300)]
    assert len({*documents, *(texts.document("Zipf 1.0", number) for number in range(300))}) == 600
    assert documents[7] == ReplayTexts(tokenizer).document("Zipf 0.8", 7)
    pairs = [(texts.query("Zipf 0.8", number), document) for number, document in enumerate(documents)]
    assert max(len(tokenizer(*pair)["input_ids"]) for pair in pairs) <= LENGTH
    body = texts.request("Zipf 0.8", ReplayRequest(3, (1, 2)))
    assert body == {"query": texts.query("Zipf 0.8", 3), "documents": documents[1:3]}
