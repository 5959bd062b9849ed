"""Full-text search in a real PostgreSQL: parameters, read-only transactions, time limits, lost connections."""

import logging
import sys

import pytest

from actors.retrieval.sql_search import SqlRetriever, check_sql_packages
from ranking.engine_settings import SqlSettings
from ranking.errors import InputError
from ranking.records import Query
from tests.testing.facts import FACTS
from tests.testing.postgres_server import FOLDER, PASSWORD, QUERY, running_postgres

pytestmark = pytest.mark.skipif(FOLDER is None, reason="PostgreSQL is not installed (apt-get install postgresql)")
TEXTS = dict(FACTS)


@pytest.fixture(scope="module")
def server():
    """Run a server for all tests."""
    with running_postgres() as running:
        yield running


@pytest.fixture
def connect(server, monkeypatch):
    """Return a function that makes a retriever, which does not wait between attempts."""
    monkeypatch.setenv("SEARCH_PASSWORD", PASSWORD)

    def make(query=QUERY, **changes):
        settings = {"url": server.url, "password_env": "SEARCH_PASSWORD", "query": query, **changes}
        retriever = SqlRetriever(SqlSettings(**settings))
        retriever.pauses = []
        retriever.pause = retriever.pauses.append
        return retriever

    return make


def asked(*texts):
    return [Query(query_id=f"q{number}", text=text) for number, text in enumerate(texts)]


def refusal(retriever, *texts):
    """Return the message of the error with which a retriever ends."""
    with pytest.raises(InputError) as caught:
        retriever.results(asked(*(texts or ["bread"])), 5)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_full_text_search_finds_and_orders_facts(connect):
    bread, heat, nothing = connect().results(asked("does yeast make bread?", "conducts heat", "zebra"), 5)
    assert (bread.hits[0].doc_id, bread.hits[0].text) == ("a5", TEXTS["a5"])
    assert heat.hits[0].doc_id == "a1"
    scores = [hit.score for hit in bread.hits]
    assert scores == sorted(scores, reverse=True)
    assert nothing.hits == []
    assert nothing.refusal is None


@pytest.mark.parametrize("text", ["it's 100% :depth", "'; DROP TABLE facts; --", "%s %(query)s", "{query}", "a\nb \\"])
def test_query_is_a_bound_parameter(connect, server, text):
    (result,) = connect("SELECT :query AS id, 'x%' AS text LIMIT :depth").results(asked(text), 5)
    assert [hit.doc_id for hit in result.hits] == [text]
    assert server.run("SELECT count(*) FROM facts") == [(len(FACTS),)]


def test_only_depth_rows_are_read_even_without_limit(connect):
    (result,) = connect("SELECT n AS id, :query AS text FROM generate_series(1, 10000000) n").results(asked("x"), 3)
    assert [hit.doc_id for hit in result.hits] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM facts WHERE text = :query RETURNING id",
        "WITH gone AS (DELETE FROM facts RETURNING id) SELECT id FROM gone WHERE id <> :query",
        "SELECT :query AS id; DELETE FROM facts",
    ],
)
def test_statements_that_write_are_refused(connect, server, query):
    message = refusal(connect(query))
    assert f"retriever 'sql', postgresql://reader@127.0.0.1:{server.port}/postgres: query 'q0': " in message
    assert server.run("SELECT count(*) FROM facts") == [(len(FACTS),)]


def test_function_that_writes_fails_in_the_read_only_transaction(connect, server):
    server.run(
        "CREATE OR REPLACE FUNCTION forget(text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS "
        "'BEGIN DELETE FROM facts; RETURN $1; END'"
    )
    assert "read-only transaction" in refusal(connect("SELECT forget(:query) AS id"))
    assert server.run("SELECT count(*) FROM facts") == [(len(FACTS),)]


def test_time_limit_ends_slow_statements(connect):
    message = refusal(connect("SELECT :query AS id FROM pg_sleep(60)", timeout_seconds=0.3, retries=1))
    assert "canceling statement due to statement timeout (attempt 2 of 2)" in message


def test_lost_connections_are_retried(connect, server):
    retriever = connect(concurrency=1)
    before = retriever.results(asked("bread"), 5)
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    assert retriever.results(asked("bread"), 5) == before
    assert len(retriever.pauses) == 1


def test_server_that_is_down_is_named_and_works_after_a_restart(connect, server):
    retriever = connect(retries=1, concurrency=1)
    before = retriever.results(asked("bread"), 5)
    server.stop()
    try:
        message = refusal(retriever)
        assert f"postgresql://reader@127.0.0.1:{server.port}/postgres: query 'q0': " in message
        assert "(attempt 2 of 2)" in message
    finally:
        server.start()
    assert retriever.results(asked("bread"), 5) == before


def test_wrong_password_is_not_tried_again(connect, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SEARCH_PASSWORD", "hush-wrong")
    retriever = connect()
    message = refusal(retriever)
    assert 'password authentication failed for user "reader"' in message
    assert retriever.pauses == []
    for text in (message, caplog.text, repr(retriever), repr(vars(retriever))):
        assert "hush-wrong" not in text


def test_missing_password_variable_is_named(connect, monkeypatch):
    monkeypatch.delenv("SEARCH_PASSWORD")
    with pytest.raises(InputError, match="'sql': the environment variable SEARCH_PASSWORD is not set on the worker"):
        connect()


def test_one_refused_query_does_not_stop_the_others(connect):
    refused, answered = connect("SELECT id FROM facts WHERE to_tsvector(text) @@ to_tsquery(:query)").results(
        asked("two words", "bread"), 5
    )
    assert refused.refusal == 'the database refuses the query (syntax error in tsquery: "two words")'
    assert [hit.doc_id for hit in answered.hits] == ["a5"]
    (nul,) = connect().results(asked("a\x00b"), 5)
    assert "NUL" in nul.refusal


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT id FROM nowhere WHERE text = :query", 'relation "nowhere" does not exist'),
        ("SELEC id FROM facts WHERE text = :query", "syntax error"),
        ("SELECT text FROM facts WHERE text <> :query", "hit 1 has no document id at 'id'"),
        ("SELECT id, ARRAY[text] AS text FROM facts WHERE text <> :query", "the text at 'text' is a list"),
    ],
)
def test_wrong_statements_are_one_line_errors(connect, query, problem):
    assert problem in refusal(connect(query))


def test_missing_packages_are_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"kind: sql needs the packages .*; install the extra '\.\[sql\]'$"):
        check_sql_packages()
