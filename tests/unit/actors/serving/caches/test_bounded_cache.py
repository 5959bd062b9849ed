"""The byte-bounded cache: order of eviction, bytes against real memory, threads."""

import random
import threading
import tracemalloc
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.serving.caches.bounded_cache import ENTRY_BYTES, BoundedCache
from actors.serving.caches.document_tokens import DocumentTokens
from actors.serving.caches.score_cache import PairScore, ScoreCache


def key(number):
    return number.to_bytes(16, "big")


def cache_of(entries):
    """Make a cache with room for this number of entries whose values have no bytes."""
    return BoundedCache(entries * ENTRY_BYTES, lambda value: 0)


def test_least_recently_used_entries_are_evicted():
    cache = cache_of(3)
    cache.put([(key(n), n) for n in (1, 2, 3)])
    assert cache.get([key(1)]) == {key(1): 1}
    cache.put([(key(4), 4)])
    assert cache.get(map(key, range(1, 5))) == {key(n): n for n in (1, 3, 4)}
    assert cache.size.evictions == 1


def test_replaced_entry_is_counted_once():
    cache = BoundedCache(10_000, len)
    cache.put([(key(1), "abc"), (key(1), "abcdef")])
    assert (len(cache), cache.size.bytes) == (1, ENTRY_BYTES + 6)


def test_value_larger_than_the_cache_is_not_kept():
    cache = BoundedCache(1000, len)
    cache.put([(key(1), "x" * 5000)])
    assert (len(cache), cache.size.bytes) == (0, 0)


def test_obsolete_entries_are_dropped():
    cache = cache_of(10)
    cache.put([(key(n), n) for n in range(10)])
    cache.drop(lambda value: value % 2)
    assert set(cache.get(map(key, range(10))).values()) == {0, 2, 4, 6, 8}
    assert cache.size.bytes == 5 * ENTRY_BYTES


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000))))
def test_bytes_are_the_sum_of_the_entries_and_within_the_bound(operations):
    cache, values = BoundedCache(5000, len), {}
    for number, size in operations:
        cache.put([(key(number), "x" * size)])
        values[number] = size
        kept = cache.get(map(key, range(21)))
        assert cache.size.bytes == sum(ENTRY_BYTES + len(value) for value in kept.values()) <= 5000
        assert all(len(value) == values[int.from_bytes(name, "big")] for name, value in kept.items())


def memory_of(fill):
    tracemalloc.start()
    try:
        made = fill()
        return tracemalloc.get_traced_memory()[0], made
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [1000, 1366, 2731, 5462, 6000])  # the hash table grows at 1,366, 2,731 and 5,462
def test_bytes_are_an_upper_bound_of_the_memory_used(count):
    def scores():
        cache = ScoreCache(100 * 2**20, True, lambda lookups: None).entries
        for n in range(count):
            cache.put([(key(n), PairScore(n / 7, 1000 + n, "version"))])
        return cache

    def documents():
        cache = DocumentTokens(100 * 2**20, lambda lookups: None).entries
        for n in range(count):
            cache.put([(key(n), array("i", [n] * (n % 50)))])
        return cache

    for fill in (scores, documents):
        used, cache = memory_of(fill)
        assert len(cache) == count
        assert cache.size.bytes / 2 < used < cache.size.bytes + 20_000


def test_threads_can_use_the_same_cache():
    cache = BoundedCache(50 * (ENTRY_BYTES + 8), lambda value: 8)
    wrong = []

    def work(seed):
        rng = random.Random(seed)
        for _ in range(2000):
            number = rng.randrange(100)
            cache.put([(key(number), str(number))])
            found = cache.get([key(rng.randrange(100)) for _ in range(5)])
            wrong.extend(name for name, value in found.items() if key(int(value)) != name)
            if number == 0:
                cache.drop(lambda value: value.endswith("3"))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.size.bytes == len(cache) * (ENTRY_BYTES + 8) <= 50 * (ENTRY_BYTES + 8)
