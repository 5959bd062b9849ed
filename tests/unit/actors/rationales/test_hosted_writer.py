"""Rationales of a hosted model from a scripted server: prompts, caching and deferral."""

import asyncio

from actors.hosted.chat_client import ChatClient
from actors.hosted.deferral import gather_present
from actors.hosted.message_filler import PairMessageFiller
from actors.hosted.spend_ledger import SpendLedger
from actors.rationales.rationale_requests import Explainer
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.rationale_prompts import load_rationale_prompt
from ranking.storage.folder import Folder
from tests.testing.synthetic_labels import label_of
from tools.chat_server import Reply, chat_server, completion


def explain(url, folder, *labels, **hosted):
    settings = LlmRationaleSettings(
        model="w", backend="openai", max_document_tokens=8, hosted={"url": url, "api_key_env": None, **hosted}
    )

    async def run():
        ledger = SpendLedger(Folder(folder), settings.hosted.prices, settings.hosted.spend_cap)
        client = ChatClient(settings.hosted, settings.model, ledger, "rationales.hosted")
        cache = ResponseCache(Folder(folder))
        filler = PairMessageFiller(load_rationale_prompt(), settings, settings.hosted)
        explainer = Explainer(settings, filler, cache, client.generate)
        outcomes, error = await gather_present(explainer.outcome(label) for label in labels)
        assert error is None
        await cache.write()
        await client.close()
        return [outcome.row for outcome in outcomes], await ledger.summary()

    return asyncio.run(run())


def test_rationales_are_requested_once_and_without_a_schema(tmp_path):
    with chat_server(lambda *_: Reply(completion("It helps."))) as server:
        (row,), _ = explain(server.url, tmp_path, label_of(["d4", "d1"]))
        (again,), _ = explain(server.url, tmp_path, label_of(["d4", "d1"]))
    assert {rationale.text for rationale in row.rationales} == {"It helps."}
    assert (row, row.writer, len(server.received)) == (again, "w", len(row.rationales))
    assert all(request.body["max_tokens"] == 96 for request in server.received)
    assert not any("response_format" in request.body for request in server.received)
    assert any("text 4" in request.body["messages"][-1]["content"] for request in server.received)


def test_label_is_deferred_at_the_cap_and_its_answers_are_kept(tmp_path):
    prices = {"input_price": 10.0, "output_price": 0.0, "concurrency": 1}  # 0.001 for each answer
    labels = [label_of(["d1"]).model_copy(update={"query_id": f"q{n}", "query": f"which {n}"}) for n in range(3)]
    with chat_server(lambda *_: Reply(completion("It helps."))) as server:
        rows, summary = explain(server.url, tmp_path, *labels, **prices, spend_cap=0.0055)
        assert (len(rows), len(server.received), summary.stop.kind) == (1, 6, "cap")
        rows, summary = explain(server.url, tmp_path, *labels, **prices)
    assert (len(rows), len(server.received), summary.stop) == (3, 12, None)
