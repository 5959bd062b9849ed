"""Requests for queries with scripted backends: prompts, caching, statuses, structured output and costs."""

import asyncio
import json

import jsonschema
import pytest
from transformers import AutoTokenizer
from vllm import SamplingParams

from actors.generators.generation_costs import costs_of
from actors.generators.generator_settings import LlmGenerationSettings
from actors.generators.query_requests import ChatFiller, QueryWriter, TokenFiller, answer_schema
from actors.generators.vllm_generator import check_generator_model, sampling_of
from actors.hosted.chat_client import ChatClient
from actors.hosted.chat_requests import JSON_SCHEMA
from actors.hosted.deferral import gather_present
from actors.hosted.spend_ledger import SpendLedger
from actors.vllm.completion import Completion
from actors.vllm.response_cache import ResponseCache
from ranking.errors import InputError
from ranking.records import SourcePassage
from ranking.storage.folder import Folder
from tools.chat_server import Reply, chat_server, completion, error
from tools.tiny_models import tiny_generator

ANSWER = json.dumps({"queries": [{"style": "question", "text": "how do bats hunt"}]})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_generator(tmp_path_factory.mktemp("model")))


def passage(number, text=None):
    return SourcePassage(query_id=f"k{number}", doc_id=f"d{number}", text=text or f"Text {number} about bats.")


class ScriptedEngine:
    """A fake vLLM engine that answers with the value of the first script key that occurs in the prompt."""

    def __init__(self, tokenizer, script):
        self.tokenizer, self.script, self.prompts, self.sampling = tokenizer, script, [], []

    async def generate(self, tokens, sampling):
        prompt = self.tokenizer.decode(tokens)
        self.prompts.append(prompt)
        self.sampling.append(sampling)
        answer = next(answer for word, answer in self.script.items() if word in prompt)
        if isinstance(answer, Exception):
            raise answer
        return Completion(answer, "stop", prompt_tokens=10, completion_tokens=5, cached_tokens=0)


def write(model, folder, script, *passages, **changes):
    """Write queries. Returns the outcomes and the engine."""
    settings = LlmGenerationSettings(model=model, **changes)
    engine = ScriptedEngine(AutoTokenizer.from_pretrained(model), script)

    async def run():
        cache = ResponseCache(Folder(folder))
        writer = QueryWriter(settings, TokenFiller(settings, "german"), cache, engine.generate, {})
        outcomes = await asyncio.gather(*map(writer.outcome, passages))
        await cache.write()
        return outcomes

    return asyncio.run(run()), engine


def test_rows_have_queries_statuses_usage_and_the_prompt_hash(model, tmp_path):
    script = {"Text 1": ANSWER, "Text 2": "no JSON", "Text 3": ValueError("out of\nmemory")}
    outcomes, engine = write(model, tmp_path, script, *map(passage, (1, 2, 3)))
    assert [[query.status for query in one.row.queries] for one in outcomes] == [["ok"], ["bad_json"], ["failed"]]
    first = outcomes[0].row
    assert (first.query_id, first.doc_id, first.generator, len(first.prompt)) == ("k1", "d1", model, 16)
    assert (first.usage.prompt_tokens, outcomes[0].tokens.completion) == (10, 5)
    assert outcomes[2].row.queries[0].text == "out of memory"
    assert "Write in German." in engine.prompts[0]


def test_answers_are_requested_once_and_failures_again(model, tmp_path):
    write(model, tmp_path, {"Text 1": ANSWER, "Text": ValueError("x")}, passage(1), passage(2))
    outcomes, engine = write(model, tmp_path, {"Text": ANSWER}, passage(1), passage(2))
    assert len(engine.prompts) == 1
    assert "Text 2" in engine.prompts[0]
    assert [one.tokens.prompt for one in outcomes] == [0, 10]
    assert all(one.row.queries[0].status == "ok" for one in outcomes)


def test_other_limits_parse_the_cached_answers_again(model, tmp_path):
    write(model, tmp_path, {"Text": ANSWER}, passage(1))
    (outcome,), engine = write(model, tmp_path, {}, passage(1), max_terms=3)
    assert ([query.status for query in outcome.row.queries], engine.prompts) == (["too_long"], [])


def test_sampling_is_seeded_unless_greedy(model, tmp_path):
    _, engine = write(model, tmp_path / "a", {"Text": ANSWER}, passage(1), passage(2))
    assert len({sampling["seed"] for sampling in engine.sampling}) == 2
    assert all(sampling["temperature"] == 0.7 for sampling in engine.sampling)
    _, engine = write(model, tmp_path / "b", {"Text": ANSWER}, passage(1), temperature=0)
    assert engine.sampling == [{"temperature": 0.0, "max_tokens": 400}]


def test_long_documents_are_truncated_to_the_context(model):
    settings = LlmGenerationSettings(model=model, max_document_tokens=1500, engine={"max_model_len": 2048})
    tokens, limit = TokenFiller(settings, "english").fill(passage(1, "word " * 4000))
    assert len(tokens) + settings.max_tokens <= 2048
    assert 8 < limit < 1500


def test_decoding_is_constrained_to_the_json_form_unless_turned_off(model):
    settings = LlmGenerationSettings(model=model)
    constrained = SamplingParams(**sampling_of(settings)).structured_outputs
    assert constrained.json == answer_schema(settings)
    assert sampling_of(settings.model_copy(update={"structured": False})) == {}
    with_examples = answer_schema(LlmGenerationSettings(model=model, examples=["red shoes"]))
    jsonschema.validate({"queries": [{"style": "example", "text": "x"}]}, with_examples)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"queries": [{"style": "question", "text": "x"}]}, with_examples)


def test_examples_come_from_settings_and_file(model, tmp_path):
    (tmp_path / "examples.txt").write_text("blue hat\n\n green coat \n")
    settings = LlmGenerationSettings(model=model, examples=["red shoes"], examples_file=str(tmp_path / "examples.txt"))
    assert settings.all_examples() == ["red shoes", "blue hat", "green coat"]
    (tmp_path / "examples.txt").write_text("\n")
    with pytest.raises(InputError, match=r"'queries\.generate\.examples_file': .*: 0 queries; write 1 to 50"):
        check_generator_model(settings)


def hosted(url, **changes):
    return LlmGenerationSettings(
        model="m", backend="openai", hosted={"url": url, "api_key_env": None}, **{"max_document_tokens": 20, **changes}
    )


def write_hosted(settings, folder, *passages):
    async def run():
        ledger = SpendLedger(Folder(folder), settings.hosted.prices, settings.hosted.spend_cap)
        client = ChatClient(settings.hosted, settings.model, ledger, "queries.generate.hosted")
        cache = ResponseCache(Folder(folder))
        schema = {JSON_SCHEMA: {"name": "queries", "schema": answer_schema(settings)}}
        writer = QueryWriter(settings, ChatFiller(settings, "english"), cache, client.generate, schema)
        outcomes, problem = await gather_present(map(writer.outcome, passages))
        await client.close()
        assert problem is None
        return [one.row for one in outcomes]

    return asyncio.run(run())


def test_hosted_model_is_asked_for_json_that_matches_the_schema(tmp_path):
    with chat_server(lambda *_: Reply(completion(ANSWER))) as server:
        settings = hosted(server.url)
        (row,) = write_hosted(settings, tmp_path, passage(1))
    assert [query.text for query in row.queries] == ["how do bats hunt"]
    (request,) = server.received
    assert request.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"strict": True, "name": "queries", "schema": answer_schema(settings)},
    }
    assert request.body["max_tokens"] == 400
    assert "Text 1 about bats." in request.body["messages"][-1]["content"]


def test_server_without_structured_output_gets_the_prompt_without_schema(tmp_path):
    def decide(body, _):
        if "response_format" in body:
            return error(400, "response_format is not supported")
        return Reply(completion(ANSWER))

    with chat_server(decide) as server:
        (row,) = write_hosted(hosted(server.url), tmp_path, passage(1))
    assert row.queries[0].status == "ok"
    assert ["response_format" in request.body for request in server.received] == [True, False]


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_cost_of_a_document_is_its_prompt_and_the_longest_answer(model, kind):
    settings = LlmGenerationSettings(model=model) if kind == "vllm" else hosted("http://h/v1")
    short, long = costs_of(settings, [passage(1), passage(2, "many words " * 10)], "english")
    assert (short.prompts, short.answer_tokens) == (1, 400)
    assert 300 < short.prompt_tokens < long.prompt_tokens
