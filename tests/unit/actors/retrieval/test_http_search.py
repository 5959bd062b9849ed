"""Search engines over HTTP: requests, odd answers, retries, and credentials that never leave the request."""

import logging
import socket

import pytest

from actors.retrieval import engine_retriever
from actors.retrieval.engine_retriever import MAX_WAIT_SECONDS, wait_before_retry
from actors.retrieval.http_search import HttpSearchRetriever
from ranking.engine_settings import HttpSearchSettings
from ranking.errors import InputError
from ranking.records import Query
from ranking.retrieval.engine_hits import EngineHit
from tests.testing.search_server import elastic_answer, running_search_server

KEY = "hush-7hx9"
QUERIES = ['say "hi"', "{query} {depth}", "line\nbreak", "back\\slash", "naïve 検索", "a' OR 1=1 --", "\u202ex"]
FOUND = 200, {}, elastic_answer(("a", 2.0, {"text": "one"}), ("b", 1.0, {}))


@pytest.fixture
def serve():
    """Return a function that starts a server and yields a retriever with it and its pauses."""
    stack = []

    def start(answer, **changes):
        running = running_search_server(answer if callable(answer) else lambda request, handler: answer)
        server = running.__enter__()
        stack.append(running)
        settings = {"body": {"size": "{depth}", "query": {"match": {"text": "{query}"}}}, "text": "_source.text"}
        settings = HttpSearchSettings(url=f"{server.url}/docs/_search", **{**settings, **changes})
        retriever = HttpSearchRetriever(settings)
        server.pauses = []
        retriever.pause = server.pauses.append
        return server, retriever

    yield start
    for running in stack:
        running.__exit__(None, None, None)


def asked(*texts):
    return [Query(query_id=f"q{number}", text=text) for number, text in enumerate(texts)]


def refusal(retriever, *texts):
    """Return the message of the error with which a retriever ends."""
    with pytest.raises(InputError) as caught:
        retriever.results(asked(*(texts or ["x"])), 5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_query_arrives_as_it_is_and_in_order(serve):
    def echo(request, handler):
        return 200, {}, elastic_answer((request.body["query"]["match"]["text"], request.body["size"], {}))

    server, retriever = serve(echo, concurrency=3)
    results = retriever.results(asked(*QUERIES), 7)
    assert [result.hits for result in results] == [[EngineHit(text, score=7.0)] for text in QUERIES]
    assert {request.method for request in server.requests} == {"POST"}
    assert server.requests[0].headers["content-type"] == "application/json"


def test_get_sends_parameters_and_no_body(serve):
    parameters = {"q": "{query}", "rows": "{depth}", "fl": ["id", "score"], "wt": "json", "debug": False}
    server, retriever = serve(FOUND, method="GET", body=None, parameters=parameters)
    for text in QUERIES:
        retriever.results(asked(text), 7)
        request = server.requests[-1]
        assert (request.method, request.body) == ("GET", None)
        assert request.parameters == [
            ("q", text), ("rows", "7"), ("fl", "id"), ("fl", "score"), ("wt", "json"), ("debug", "false")
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((200, {}, "<html>maintenance</html>"), "the answer is not valid JSON"),
        ((200, {}, b"\xff\xfe"), "the answer is not UTF-8"),
        ((200, {}, ""), "the answer is not valid JSON"),
        ((200, {}, "[" * 100_000), "nested too deeply"),
        ((200, {}, {"hits": []}), "the answer has no value at 'hits.hits'"),
        ((204, {}, ""), "HTTP 204"),
        ((401, {}, {"error": {"reason": "missing token"}}), "HTTP 401 (missing token); check the credentials"),
        ((404, {}, {"message": "no such index"}), "HTTP 404 (no such index)"),
        ((500, {}, "a\nb"), "HTTP 500 (a b)"),
        ((302, {"location": "http://elsewhere/login?token=1"}, ""), "HTTP 302, a redirect to http://elsewhere;"),
        ((307, {}, ""), "redirects are not followed"),
    ],
)
def test_unusable_answers_end_without_retries(serve, answer, problem):
    server, retriever = serve(answer)
    message = refusal(retriever)
    assert message.startswith(f"retriever 'http_search', {server.url}/docs/_search: query 'q0': ")
    assert problem in message
    assert "finished parts are kept" in message
    assert len(server.requests) == 1


def test_redirects_do_not_carry_credentials_elsewhere(serve, monkeypatch):
    monkeypatch.setenv("ENGINE_KEY", KEY)
    other, _ = serve(FOUND)
    _, retriever = serve((301, {"location": f"{other.url}/x"}, ""), headers={"Authorization": "Bearer ${ENGINE_KEY}"})
    refusal(retriever)
    assert other.requests == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_overload_is_retried_after_the_time_that_the_engine_asks_for(serve, status):
    answers = [(status, {"retry-after": "7"}, ""), (status, {}, ""), FOUND]
    server, retriever = serve(lambda request, handler: answers[len(server.requests) - 1])
    (result,) = retriever.results(asked("x"), 5)
    assert [hit.doc_id for hit in result.hits] == ["a", "b"]
    assert 7 <= server.pauses[0] < 8
    assert 0 < server.pauses[1] <= 1


@pytest.mark.parametrize("header", ["soon", "-1", "1e9", "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_odd_retry_after_is_ignored_or_limited(serve, header):
    answers = [(503, {"retry-after": header}, ""), FOUND]
    server, retriever = serve(lambda request, handler: answers[len(server.requests) - 1])
    retriever.results(asked("x"), 5)
    assert 0 < server.pauses[0] <= MAX_WAIT_SECONDS


def test_backoff_grows_with_jitter_up_to_a_limit():
    for attempt, longest in enumerate([0.5, 1, 2, 4, 8, 16, 32, 60, 60]):
        waits = {wait_before_retry(attempt) for _ in range(20)}
        assert len(waits) > 1
        assert all(longest / 2 <= wait <= longest for wait in waits)
    assert wait_before_retry(0, 1e6) == MAX_WAIT_SECONDS


def test_engine_that_stays_overloaded_ends_after_all_retries(serve):
    server, retriever = serve((503, {}, {"message": "no shards"}), retries=2)
    assert "query 'q0': HTTP 503 (no shards) (attempt 3 of 3)" in refusal(retriever)
    assert len(server.requests) == 3


def test_engine_that_is_down_is_named():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = HttpSearchSettings(
        url=f"http://127.0.0.1:{port}/s?size=1", body={"q": "{query}"}, retries=1, name="products"
    )
    retriever = HttpSearchRetriever(settings)
    retriever.pause = lambda seconds: None
    message = refusal(retriever)
    assert message.startswith(
        f"retriever 'products', http://127.0.0.1:{port}/s: query 'q0': no complete answer (Connection refused) "
        "(attempt 2 of 2)"
    )


def half(request, handler):
    """Announce 1,000 bytes, send 12 and close."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"hits": {"h')


def half_chunk(request, handler):
    """Announce a chunk of 1,000 bytes, send 12 and close."""
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'3e8\r\n{"hits": {"h')


def silence(request, handler):
    """Close without an answer."""


def drip(request, handler):
    """Send a byte every few milliseconds until the client closes the connection."""
    handler.send_response(200)
    handler.send_header("content-length", "1000000")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" ")
            engine_retriever.threading.Event().wait(0.02)
    except OSError:
        return


def hang(request, handler):
    """Answer nothing until the client closes the connection."""
    handler.connection.settimeout(20)
    handler.rfile.read(1)


@pytest.mark.parametrize("failure", [half, half_chunk, silence, drip, hang])
def test_incomplete_answers_and_timeouts_are_retried(serve, failure):
    def answer(request, handler):
        return failure(request, handler) if len(server.requests) == 1 else FOUND

    server, retriever = serve(answer, timeout_seconds=0.5)
    (result,) = retriever.results(asked("x"), 5)
    assert [hit.doc_id for hit in result.hits] == ["a", "b"]
    assert len(server.requests) == 2
    always, retriever = serve(failure, retries=1, timeout_seconds=0.5)
    assert "query 'q0': no complete answer (" in refusal(retriever)
    assert len(always.requests) == 2


def test_partial_results_of_the_engine_are_retried(serve):
    answers = [
        (200, {}, elastic_answer(("a", 1, {}), timed_out=True)),
        (200, {}, elastic_answer(("a", 1, {}), _shards={"failed": 1})),
        FOUND,
    ]
    server, retriever = serve(
        lambda request, handler: answers[len(server.requests) - 1], partial=["timed_out", "_shards.failed"]
    )
    (result,) = retriever.results(asked("x"), 5)
    assert len(result.hits) == 2
    assert len(server.pauses) == 2


def test_huge_answers_are_refused(serve, monkeypatch):
    monkeypatch.setattr("actors.retrieval.http_search._MAX_ANSWER_BYTES", 2**20)
    _, retriever = serve((200, {}, " " * 2**21))
    assert "the answer is larger than 1 MiB" in refusal(retriever)


def test_one_refused_query_does_not_stop_the_others(serve):
    def picky(request, handler):
        text = request.body["query"]["match"]["text"]
        return (400, {}, {"error": {"reason": f"too long: {text}"}}) if text.startswith("long") else FOUND

    _, retriever = serve(picky)
    refused, answered = retriever.results(asked("long one", "short"), 5)
    assert refused.refusal == "the engine refuses the query with HTTP 400 (too long: long one)"
    assert refused.hits == []
    assert answered.refusal is None
    _, fresh = serve(picky)
    assert fresh.results(asked("long one"), 5)[0].refusal == refused.refusal  # a plain query shows that requests work


def test_request_that_the_engine_always_refuses_is_an_error(serve):
    server, retriever = serve((400, {}, {"error": {"reason": "unknown key [querry]"}}))
    message = refusal(retriever, "x", "y")
    assert "query 'q0': the engine refuses the query with HTTP 400 (unknown key [querry])" in message
    assert "check the request in the retriever's settings" in message
    assert len(server.requests) == 3


def test_credentials_are_sent_but_appear_nowhere_else(serve, monkeypatch, caplog):
    monkeypatch.setenv("ENGINE_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def leak(request, handler):
        return status, {}, {"error": {"reason": f"wrong key {request.headers['x-api-key']}"}}

    status = 401
    server, retriever = serve(leak, headers={"X-Api-Key": "${ENGINE_KEY}"})
    messages = [refusal(retriever)]
    status = 503
    retriever.retries = 0
    messages.append(refusal(retriever))
    status = 400
    messages.append(refusal(retriever))
    assert {request.headers["x-api-key"] for request in server.requests} == {KEY}
    for text in [*messages, caplog.text, repr(retriever), repr(retriever.settings)]:
        assert KEY not in text
    assert all("wrong key ***" in message for message in messages)


def test_missing_variable_is_named_before_anything_is_sent(serve, monkeypatch):
    monkeypatch.delenv("ENGINE_KEY", raising=False)
    with pytest.raises(InputError, match="'http_search': the environment variable ENGINE_KEY is not set on the worker"):
        serve(FOUND, headers={"Authorization": "ApiKey ${ENGINE_KEY}"})
