"""The client of chat-completions servers against a scripted server on loopback."""

import email.utils
import json
import time

import pytest

from actors.hosted import chat_client
from actors.hosted.chat_client import key_of
from actors.vllm.response_cache import ResponseCache
from ranking.errors import InputError
from ranking.hosted_settings import HostedSettings
from ranking.storage.folder import Folder
from tests.testing.hosted_lists import chain, hosted_settings, label_hosted, shown_in
from tests.testing.pre_ranked_lists import pre_ranked_list
from tools.chat_server import Reply, chat_server, completion, error

WAITS = []


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch):
    """Record the waits between attempts instead of the exponential ones. Waits that the server asks for remain."""
    WAITS.clear()
    monkeypatch.setattr(chat_client, "backoff", lambda attempt, _: WAITS.append(attempt) or 0.0)


def ranked(body, *doc_ids, **others):
    return Reply(completion(chain(body, doc_ids or ("d3", "d1"))), **others)


def scripted(*replies):
    """Reply with each of these in turn, then with usable rankings."""

    def decide(body, number):
        reply = replies[number] if number < len(replies) else None
        return reply if reply is not None else ranked(body)

    return decide


def label(decide, folder, *rows, hosted=None, **teacher):
    with chat_server(decide) as server:
        results, summary = label_hosted(hosted_settings(server.url, hosted, **teacher), folder, *rows)
    return results, summary, server.received


def test_answer_becomes_a_label_with_tokens_of_the_server(tmp_path):
    (result,), summary, (request,) = label(scripted(), tmp_path, pre_ranked_list())
    assert {c.doc_id: c.position for c in result.candidates} == {"d3": 1, "d1": 2, "d2": None, "d4": None}
    assert (result.usage.prompt_tokens, result.usage.completion_tokens, summary.answers) == (100, 10, 1)
    assert {name: request.body[name] for name in ("model", "temperature")} == {"model": "m", "temperature": 0.0}
    assert set(request.body) == {"model", "messages", "temperature", "max_tokens"}
    assert "authorization" not in request.headers


def test_further_fields_replace_and_remove_fields_of_the_body(tmp_path):
    hosted = {"body": {"temperature": None, "top_p": 0.5}, "max_tokens_field": "max_completion_tokens"}
    _, _, (request,) = label(scripted(), tmp_path, pre_ranked_list(), hosted=hosted | {"max_output_tokens": 77})
    assert set(request.body) == {"model", "messages", "top_p", "max_completion_tokens"}
    assert request.body["max_completion_tokens"] == 77


def test_key_comes_from_the_environment_and_is_in_no_message(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret-value-123")
    refused = error(401, "Incorrect API key provided: secret-value-123, or Bearer secret-value-123.")
    results, summary, (request,) = label(
        scripted(refused), tmp_path, pre_ranked_list(), hosted={"api_key_env": "SOME_KEY"}
    )
    assert request.headers["authorization"] == "Bearer secret-value-123"
    assert (results, summary.stop.kind) == ([], "input")
    assert "refuses the API key (HTTP 401: Incorrect API key provided: ***" in summary.stop.reason
    assert "secret" not in summary.stop.reason


def test_missing_key_is_an_error_with_the_name_of_the_variable(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match=r"'teacher.hosted.api_key_env': environment variable OPENAI_API_KEY is not"):
        key_of(HostedSettings(url="http://h/v1"), "teacher.hosted")


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_rate_limit_waits_as_long_as_the_server_asks(form, tmp_path):
    # a date has no fractions of seconds, so the wait is 1 to 2 s
    value = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
    limited = error(429, "slow down", Retry_After=value)
    (result,), summary, requests = label(scripted(limited), tmp_path, pre_ranked_list())
    assert result.answer.parse_status == "ok"
    assert requests[1].begun - requests[0].begun > 0.9
    assert summary.retries == 1


def test_rate_limit_of_one_request_delays_the_others(tmp_path):
    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(4)]
    limited = error(429, "slow down", Retry_After="1")
    results, _, requests = label(scripted(limited), tmp_path, *rows, hosted={"concurrency": 1})
    assert len(results) == 4
    assert requests[1].begun - requests[0].begun > 0.9


def test_too_long_a_wait_stops_the_job(tmp_path):
    limited = error(429, "daily limit", Retry_After="7200")
    results, summary, requests = label(scripted(limited), tmp_path, pre_ranked_list())
    assert (results, len(requests), summary.stop.kind) == ([], 1, "service")
    assert "asks to wait 7,200 s, longer than max_wait_seconds" in summary.stop.reason


@pytest.mark.parametrize(
    "fault",
    [
        error(500, "oops"),
        error(503, "busy"),
        Reply("upstream error", 502),
        Reply(completion("[1]"), cut=True),
        Reply('{"choices": [{"mess'),
        Reply({"choices": []}),
        Reply({"choices": [{"message": {"content": 7}}]}),
        Reply([1]),
        Reply(completion("[1]"), delay=1.5),
    ],
    ids=["500", "503", "502", "cut", "half", "no choice", "number", "array", "slow"],
)
def test_failed_attempt_is_repeated(fault, tmp_path):
    (result,), summary, requests = label(
        scripted(fault, fault), tmp_path, pre_ranked_list(), hosted={"timeout_seconds": 1.0}
    )
    assert [c.doc_id for c in result.candidates if c.position == 1] == ["d3"]
    assert (len(requests), summary.retries, result.answer.attempts) == (3, 2, 1)
    assert WAITS == [1, 2]


def test_server_that_keeps_failing_stops_the_job_and_keeps_answers(tmp_path):
    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(5)]
    replies = [None, None, *[error(500, "oops")] * 20]
    results, summary, requests = label(scripted(*replies), tmp_path, *rows, hosted={"concurrency": 1, "max_retries": 2})
    assert (len(results), len(requests)) == (2, 5)
    assert summary.stop.kind == "service"
    assert "failed 3 times in a row, last: HTTP 500: oops" in summary.stop.reason
    assert sum(table.num_rows for table in Folder(tmp_path).read_tables()) == 2
    again, _, requests = label(scripted(), tmp_path, *rows)
    assert (len(again), len(requests)) == (5, 3)


def test_unreachable_server_stops_the_job(tmp_path):
    with chat_server(scripted()) as server:
        url = server.url
    results, summary = label_hosted(hosted_settings(url, {"max_retries": 1}), tmp_path, pre_ranked_list())
    assert (results, summary.stop.kind) == ([], "service")
    assert "ConnectError" in summary.stop.reason


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (error(404, "The model `m` does not exist", "model_not_found"), "does not have the model 'm', or the URL is"),
        (error(400, "bad model", "model_not_found"), "does not have the model 'm'"),
        (error(402, "Insufficient Balance"), "asks for payment"),
        (error(403, "no access"), "refuses the API key"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "no quota left"),
        (Reply("", 308, {"Location": "http://127.0.0.1:1/v1"}), "redirect"),
        (error(400, "Unsupported parameter: 'temperature'"), "refuses the request (HTTP 400: Unsupported parameter"),
    ],
)
def test_wrong_settings_stop_the_job_after_one_request(reply, text, tmp_path):
    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(3)]
    results, summary, requests = label(scripted(reply), tmp_path, *rows, hosted={"concurrency": 1})
    assert (results, len(requests), summary.stop.kind) == ([], 1, "input")
    assert text in summary.stop.reason


@pytest.mark.parametrize(
    "reply",
    [
        error(400, "too much", "context_length_exceeded"),
        error(400, "This model's maximum context length is 100 tokens."),
        error(413, "payload"),
        error(400, "flagged", "content_policy_violation"),
    ],
)
def test_refused_prompt_rejects_only_its_list(reply, tmp_path):
    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(2)]
    results, summary, requests = label(scripted(reply), tmp_path, *rows, hosted={"concurrency": 1})
    assert (len(results), len(requests), summary.stop) == (2, 2, None)
    (rejection,) = [result for result in results if hasattr(result, "reason")]
    assert rejection.reason.startswith("the server refuses the prompt")


def test_unknown_refusal_after_an_answer_rejects_only_its_list(tmp_path):
    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(3)]
    results, summary, _ = label(scripted(None, error(400, "odd bytes")), tmp_path, *rows, hosted={"concurrency": 1})
    assert [getattr(result, "reason", None) for result in results].count(
        "the server refuses the prompt (HTTP 400: odd bytes)"
    ) == 1
    assert summary.stop is None


def test_refusals_and_truncated_answers_are_asked_again(tmp_path):
    refusal = Reply(completion(None, refusal="I'm sorry, I cannot help with that."))
    truncated = Reply(completion("[1] > [2", "length"))
    (result,), _, requests = label(scripted(refusal, truncated), tmp_path, pre_ranked_list(12))
    assert (result.answer.attempts, result.answer.parse_status) == (3, "ok")
    assert len({tuple(shown_in(request.body)) for request in requests}) == 3
    cache = [row for table in Folder(tmp_path).read_tables() for row in table.to_pylist()]
    assert sorted(row["raw"] for row in cache)[:2] == ["I'm sorry, I cannot help with that.", requests_answer(requests)]


def requests_answer(requests):
    """Return the usable answer, which is the last one."""
    return chain(requests[-1].body, ["d3", "d1"])


def test_reasoning_of_the_server_is_kept_with_the_answer(tmp_path):
    def decide(body, _):
        return Reply(completion(chain(body, ["d2", "d1"]), reasoning_content="First [4] > [1]? No."))

    (result,), _, _ = label(decide, tmp_path, pre_ranked_list())
    assert [c.doc_id for c in result.candidates if c.position] == ["d1", "d2"]
    assert result.answer.raw.startswith("<think>First [4] > [1]? No.</think>[")
    assert result.answer.parse_status == "thinking"


def test_thinking_adds_its_budget_and_the_template_arguments(tmp_path):
    _, _, (plain,) = label(scripted(), tmp_path / "plain", pre_ranked_list())
    _, _, (thinking,) = label(scripted(), tmp_path / "thinking", pre_ranked_list(), thinking={"budget": 500})
    assert thinking.body["max_tokens"] == plain.body["max_tokens"] + 500
    assert thinking.body["chat_template_kwargs"] == {"enable_thinking": True}
    untouched = {"budget": 500, "template": {}}
    _, _, (request,) = label(scripted(), tmp_path / "untouched", pre_ranked_list(), thinking=untouched)
    assert "chat_template_kwargs" not in request.body


def test_thought_that_uses_up_the_budget_is_asked_again(tmp_path):
    endless = Reply(completion("<think>Let me see. [1] or [2]?", "length"))
    (result,), _, requests = label(scripted(endless), tmp_path, pre_ranked_list(), thinking={"budget": 500})
    assert (len(requests), result.answer.parse_status) == (2, "ok")


def as_json(body, *doc_ids):
    shown = shown_in(body)
    return Reply(completion(json.dumps({"ranking": [shown.index(doc_id) + 1 for doc_id in doc_ids]})))


def test_schema_is_sent_and_its_answer_is_parsed(tmp_path):
    (result,), _, (request,) = label(
        lambda body, _: as_json(body, "d4", "d2"), tmp_path, pre_ranked_list(), hosted={"structured": "auto"}
    )
    assert {c.doc_id: c.position for c in result.candidates if c.position} == {"d4": 1, "d2": 2}
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["ranking"]["items"] == {"type": "integer", "enum": [1, 2, 3, 4]}
    assert '{"ranking": [4, 1, 7]}' in request.body["messages"][-1]["content"]
    assert result.answer.parse_status == "ok"


def test_auto_falls_back_to_free_text_once_for_all_requests(tmp_path):
    def decide(body, _):
        if "response_format" in body:
            return error(400, "response_format json_schema is not supported")
        assert "JSON" not in body["messages"][-1]["content"]
        return ranked(body)

    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(3)]
    results, summary, requests = label(decide, tmp_path, *rows, hosted={"structured": "auto", "concurrency": 1})
    assert (len(results), len(requests), summary.retries) == (3, 4, 0)
    results, summary, requests = label(
        decide, tmp_path / "strict", *rows, hosted={"structured": "json_schema", "concurrency": 1}
    )
    assert (results, len(requests)) == ([], 1)
    assert "refuses the response format" in summary.stop.reason


def test_unconstrained_teacher_sends_no_schema(tmp_path):
    _, _, (request,) = label(scripted(), tmp_path, pre_ranked_list(), hosted={"structured": "auto"}, structured=False)
    assert "response_format" not in request.body


def test_spend_cap_is_exceeded_by_less_than_one_request(tmp_path):
    # each answer costs (100 * 10 + 10 * 100) / 1e6 = 0.002
    prices = {"input_price": 10.0, "output_price": 100.0, "concurrency": 8}
    rows = [pre_ranked_list(query_id=f"q{n}") for n in range(30)]
    results, summary, requests = label(scripted(), tmp_path, *rows, hosted={**prices, "spend_cap": 0.0151})
    assert (len(results), len(requests)) == (8, 8)
    assert summary.spent == pytest.approx(0.016)
    assert (summary.stop.kind, summary.stop.reason) == ("cap", "spent 0.0160 of 0.0151")
    assert len(ResponseCache(Folder(tmp_path))._index) == 8
    # earlier answers count, so the same cap sends nothing and a higher one continues
    assert label(scripted(), tmp_path, *rows, hosted={**prices, "spend_cap": 0.0151})[2] == []
    results, summary, requests = label(scripted(), tmp_path, *rows, hosted={**prices, "spend_cap": 1.0})
    assert (len(results), len(requests), summary.stop) == (30, 22, None)


def test_workers_share_the_rate_limits_equally():
    settings = HostedSettings(url="http://h/v1", workers=4, requests_per_minute=240, tokens_per_minute=4000)
    (requests, of_tokens), (tokens, counts_tokens) = chat_client._limiters(settings)
    assert (of_tokens, counts_tokens) == (False, True)
    assert (requests._seconds_each, tokens._seconds_each) == (1.0, 0.06)
