"""Settings of search engines: what is refused, and what candidates depend on."""

import re
import textwrap

import pytest
import yaml

from ranking.errors import InputError
from ranking.run_file import validate
from ranking.settings import CandidateSettings
from tests.testing.facts import ROOT

HTTP = {"kind": "http_search", "url": "http://engine:9200/docs/_search", "body": {"q": "{query}"}}
SQL = {
    "kind": "sql",
    "url": "postgresql://reader@db/search",
    "query": "SELECT id FROM d WHERE t @@ plainto_tsquery(:query)",
}
KEY = "s3cr3t" * 4


def settings_of(**changes):
    retriever = {**(SQL if changes.get("kind") == "sql" else HTTP), **changes}
    return validate(CandidateSettings, {"retrievers": [retriever]}, "run.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "engine:9200"}, "must be an address such as https://"),
        ({"url": "ftp://engine/x"}, "must be an address such as https://"),
        ({"method": "GET"}, "method: GET sends no body"),
        ({"body": {"{query}": 1}}, '"{query}" must be a part of `body` or `parameters`'),
        ({"body": None}, '"{query}" must be a part of `body` or `parameters`'),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"kind": "sql", "url": "mysql://reader@db/search"}, "must begin with postgresql://"),
        ({"kind": "sql", "query": "SELECT 1"}, "must contain the bound parameter :query"),
        ({"kind": "sql", "query": "SELECT :query::text"}, "not :query::text"),
        ({"kind": "sql", "query": "SELECT :query, :limit"}, "unknown bound parameter :limit"),
        ({"kind": "sql", "password_env": "${X}"}, "password_env"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(InputError) as refused:
        settings_of(**changes)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"Authorization": f"ApiKey {KEY}"}},
        {"headers": {"authorization": f"${{A}}{KEY}"}},
        {"headers": {"X-Api-Key": KEY}},
        {"headers": {"Cookie": f"session={KEY}"}},
        {"parameters": {"api_key": KEY}},
        {"parameters": {"token": KEY}},
        {"url": f"https://{KEY}@engine/search"},
        {"url": f"https://reader:{KEY}@engine/search"},
        {"url": f"https://engine/search?size=1&api-key={KEY}"},
        {"kind": "sql", "url": f"postgresql://reader:{KEY}@db/search"},
        {"kind": "sql", "url": f"postgresql://reader:/{KEY}@db/search"},
        {"kind": "sql", "url": f"postgresql://reader@db/search?password={KEY}"},
    ],
)
def test_credentials_are_refused_and_not_printed(changes):
    with pytest.raises(InputError) as refused:
        settings_of(**changes)
    assert "contains credentials" in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("value", ["${ENGINE_API_KEY}", "Bearer ${ENGINE_API_KEY}", "ApiKey ${ENGINE_API_KEY}"])
def test_headers_may_name_environment_variables(value):
    assert settings_of(headers={"Authorization": value}).retrievers[0].headers == {"Authorization": value}


def test_blocks_of_the_documentation_are_valid():
    page = (ROOT / "docs" / "candidates.md").read_text(encoding="utf-8")
    kinds = []
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        raw = yaml.safe_load(textwrap.dedent(block))
        raw = raw if isinstance(raw, dict) else {"candidates": {"retrievers": raw}}
        if "candidates" not in raw:
            continue
        raw = raw["candidates"]
        kinds += [engine.kind for engine in validate(CandidateSettings, raw, "candidates.md").engines]
    assert kinds == ["http_search", "http_search", "http_search", "sql"]


def test_casts_of_postgresql_are_no_parameters():
    query = "SELECT id::text FROM d WHERE t @@ plainto_tsquery(CAST(:query AS text)) LIMIT :depth"
    assert settings_of(kind="sql", query=query).retrievers[0].query == query


def test_candidates_do_not_depend_on_how_the_engine_is_asked():
    first = settings_of().identity()
    assert settings_of(concurrency=2, retries=0, timeout_seconds=1).identity() == first
    assert settings_of(text="_source.text").identity() != first
    assert settings_of(url="http://other:9200/docs/_search").identity() != first


def test_documents_are_needed_unless_every_retriever_returns_texts():
    assert settings_of().needs_documents
    assert not settings_of(text="_source.text").needs_documents
    assert not settings_of(kind="sql").needs_documents
    assert CandidateSettings(retrievers=[{**HTTP, "text": "t"}, {"kind": "bm25"}]).needs_documents
    mixed = CandidateSettings(retrievers=[HTTP, SQL, {"kind": "bm25"}])
    assert [retriever.kind for retriever in mixed.without_engines().retrievers] == ["bm25"]
    assert [engine.kind for engine in mixed.engines] == ["http_search", "sql"]
