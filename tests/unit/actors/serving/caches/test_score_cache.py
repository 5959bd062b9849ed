"""The cache of scores: same floats, keys, promotion, isolation and eviction."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.serving.caches.bounded_cache import ENTRY_BYTES
from actors.serving.caches.lookups import Lookups
from actors.serving.caches.score_cache import SCORE_BYTES
from actors.serving.scoring.tokenizing import TextsToTokenize, TooLongError
from tests.testing.cached_scores import Caller, Model, run, score_of, started

ENTRY = ENTRY_BYTES + SCORE_BYTES


TEXT = st.sampled_from(["", "a", "b", "aa", "\0", "a\0", "long text " * 9, "漢字", "\ud800"])
REQUESTS = st.lists(
    st.tuples(TEXT, st.lists(TEXT, max_size=6), st.sampled_from([None, 1, 3]), st.sampled_from("ab")), max_size=12
)


@given(REQUESTS, st.sampled_from([0.0002, 0.001, 1]), st.booleans(), st.booleans())
def test_scores_are_exactly_those_without_a_cache(requests, megabytes, shared, concurrent):
    async def scenario():
        client, model = Caller(megabytes, shared), Model()
        asked = [
            client.ask(model, documents, query, caller=caller, max_tokens_per_doc=limit)
            for query, documents, limit, caller in requests
        ]
        results = await asyncio.gather(*asked) if concurrent else [await request for request in asked]
        for (query, documents, limit, _), result in zip(requests, results, strict=True):
            assert result.scores == [score_of(query, document, limit, 1.0) for document in documents]
            assert result.tokens == [len(document) for document in documents]
        assert client.cache.entries.size.bytes <= megabytes * 2**20

    run(scenario)


def test_only_missing_documents_are_computed():
    async def scenario():
        client, model = Caller(), Model()
        first = await client.ask(model, ["x", "yy", "x"])
        second = await client.ask(model, ["yy", "zzz", "x"])
        third = await client.ask(model, ["yy", "x"])
        assert model.seen == [("q", "x"), ("q", "yy"), ("q", "zzz")]
        assert client.lookups == [Lookups(0, 2, 0), Lookups(2, 1, 0), Lookups(2, 0, 0)]
        assert (first.computed_tokens, second.computed_tokens, third.computed_tokens) == (3, 3, 0)
        assert (second.queued, second.scored, third.queued, third.scored) == (0.25, 0.5, 0.0, 0.0)

    run(scenario)


def test_query_options_and_version_are_part_of_the_key():
    async def scenario():
        client, model = Caller(), Model()
        client.cache.retain(["v1", "v2"])
        await client.ask(model, ["text"])
        await client.ask(model, ["text"], query="other")
        await client.ask(model, ["text"], max_tokens_per_doc=2)
        await client.ask(model, ["text"], version="v2")
        assert model.calls == 4
        await client.ask(model, ["text"], field="texts")  # a name for messages
        assert model.calls == 4

    run(scenario)


@dataclass(frozen=True)
class TextsWithHeadings(TextsToTokenize):
    """Texts with a further value per document."""

    heading_lengths: tuple[int, ...] = ()


def test_further_values_per_document_are_part_of_its_key():
    async def scenario():
        client, model = Caller(), Model()
        received = []

        async def compute(texts):
            received.append((list(texts.documents), list(texts.heading_lengths)))
            return await model(texts)

        async def ask(documents, headings):
            texts = TextsWithHeadings("q", documents, heading_lengths=headings)
            await client.cache.scores("v1", texts, "a", False, compute)

        await ask(["x", "y"], (1, 2))
        await ask(["y", "x"], (2, 1))
        await ask(["x", "y"], (1, 3))
        assert received == [(["x", "y"], [1, 2]), (["y"], [3])]

    run(scenario)


def test_promotion_drops_old_scores_and_requests_in_flight_add_none():
    async def scenario():
        client, old, new = Caller(), Model(), Model(weight=2.0)
        await client.ask(old, ["before"])
        old.may_score.clear()
        in_flight = await started(client.ask(old, ["x"]))
        client.cache.retain(["v2"])
        assert len(client.cache.entries) == 0
        promoted = await client.ask(new, ["x", "before"], version="v2")
        assert promoted.scores == [score_of("q", text, None, 2.0) for text in ("x", "before")]
        old.may_score.set()
        assert (await in_flight).scores == [score_of("q", "x", None, 1.0)]
        assert len(client.cache.entries) == 2  # those of v2
        assert (await client.ask(new, ["x"], version="v2")).scores == [score_of("q", "x", None, 2.0)]
        assert client.cache.entries.size.bytes == 2 * ENTRY

    run(scenario)


def test_rolled_back_version_is_computed_again():
    async def scenario():
        client, model = Caller(), Model()
        for version in ("v1", "v2", "v1"):
            client.cache.retain([version])
            await client.ask(model, ["x"], version=version)
        assert model.calls == 3

    run(scenario)


def test_callers_share_scores_only_if_allowed():
    async def calls(shared):
        client, model = Caller(shared=shared), Model()
        for caller in "aba":
            await client.ask(model, ["x"], caller=caller)
        return model.calls

    assert run(lambda: calls(True)) == 1
    assert run(lambda: calls(False)) == 2


def test_request_that_must_not_be_truncated_does_not_use_the_cache():
    async def scenario():
        client, model = Caller(), Model()

        async def refuse(texts):
            raise TooLongError(f"documents[{texts.documents.index('long')}]")

        await client.ask(model, ["x", "long"])
        with pytest.raises(TooLongError, match=r"documents\[1\]"):
            await client.ask(refuse, ["x", "long"], truncate=False)
        assert client.lookups == [Lookups(0, 2, 0)]

    run(scenario)


def test_results_do_not_depend_on_what_was_evicted_meanwhile():
    async def scenario():
        client, model = Caller(2 * ENTRY / 2**20), Model()
        documents = [str(n) for n in range(30)]
        result = await client.ask(model, documents)
        assert result.scores == [score_of("q", text, None, 1.0) for text in documents]
        assert len(client.cache.entries) == 2
        assert replace(await client.ask(model, documents), computed_tokens=result.computed_tokens) == result

    run(scenario)
