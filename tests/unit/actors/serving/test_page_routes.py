"""The routes of the search page, without Ray: columns, judgements, worse queries, and when the service is ready."""

import asyncio
import hashlib
import logging

import pytest

from actors.serving import page_search
from actors.serving.judgements import HISTORY, QRELS, Judgement, text_query_id
from actors.serving.searcher import Searcher
from ranking.collections.qrels import read_qrels
from ranking.evaluation.featured_system import WorseQueries, WorseQuery
from ranking.storage.folder import Folder
from tests.testing.http_service import http_client, kitchen_searcher

WORSE = WorseQueries(
    system="rra@bm25",
    baseline="bm25",
    measure="nDCG@10",
    queries=[WorseQuery(query_id="q2", text="bread yeast", baseline=1.0, system=0.5)],
)
GRADE = {"query": "bread yeast", "document_id": "d1", "grade": 3}


@pytest.fixture
def searcher(tmp_path):
    return kitchen_searcher(tmp_path, WORSE)


@pytest.fixture
def client(tmp_path, searcher):
    with http_client(tmp_path, searcher) as client:
        yield client


def search(client, query):
    return client.get("/page/search", params={"query": query}).raise_for_status().json()


def columns_of(results):
    ids = [document["id"] for document in results["documents"]]
    return [(column["role"], column["version"], [ids[i] for i in column["order"]]) for column in results["columns"]]


def test_search_returns_first_stage_and_champion(client):
    results = search(client, "heated oven")
    assert columns_of(results) == [("first stage", "bm25", ["d2", "d1"]), ("champion", "words", ["d2", "d1"])]
    assert all(column["milliseconds"] >= 0 for column in results["columns"])
    assert [document["matches"] for document in results["documents"]] == [["heated", "oven"], ["oven"]]
    assert "content" not in results["documents"][0]


def test_a_challenger_gets_its_own_column(tmp_path, searcher):
    with http_client(tmp_path, searcher, traffic={"challenger": "next"}) as client:
        roles = columns_of(search(client, "heated oven"))
    assert roles[1:] == [("champion", "words", ["d2", "d1"]), ("challenger", "next", ["d1", "d2"])]


def test_grades_of_the_collection_and_saved_grades_are_separate(client):
    assert search(client, "bread yeast")["judged"]
    assert client.post("/v1/judgements", json=GRADE).status_code == 200
    (document,) = search(client, "bread yeast")["documents"]
    assert (document["grade"], document["saved_grade"]) == (1, 3)
    (document,) = search(client, "yeast bread")["documents"]
    assert (document["grade"], document["saved_grade"]) == (None, None)


def test_judgements_are_qrels_by_query_id_or_text_hash(client, tmp_path):
    answers = [client.post("/v1/judgements", json=GRADE | change).json() for change in ({}, {"grade": 0})]
    assert answers == [
        {"query_id": "q2", "document_id": "d1", "grade": 3, "replaced": None},
        {"query_id": "q2", "document_id": "d1", "grade": 0, "replaced": 3},
    ]
    other = client.post("/v1/judgements", json=GRADE | {"query": " brot "}).json()
    assert other["query_id"] == text_query_id("brot")
    assert read_qrels(tmp_path / "judgements" / QRELS) == {"q2": {"d1": 0}, text_query_id("brot"): {"d1": 3}}


def test_query_texts_are_recorded_only_if_the_setting_says_so(client, tmp_path):
    client.post("/v1/judgements", json=GRADE)
    assert "bread" not in Folder(tmp_path / "judgements").read_text(HISTORY)
    with http_client(tmp_path, kitchen_searcher(tmp_path / "texts", records_texts=True)) as recording:
        recording.post("/v1/judgements", json=GRADE)
    line = Folder(tmp_path / "texts" / "judgements").read_text(HISTORY)
    row = Judgement.model_validate_json(line)
    assert (row.query, row.caller) == ("bread yeast", "anybody")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"document_id": "d9"}, "document_id: the collection has no document with this id"),
        ({"grade": 4}, "grade: Input should be less than or equal to 3"),
        ({"grade": -1}, "grade: Input should be greater than or equal to 0"),
        ({"grade": "2"}, "grade: Input should be a valid integer"),
        ({"grade": True}, "grade: Input should be a valid integer"),
        ({"query": ""}, "query: Input should have at least 1 character"),
        ({"note": "x"}, "note: Extra inputs are not permitted"),
    ],
)
def test_invalid_judgements_are_refused_with_the_field(client, tmp_path, change, message):
    response = client.post("/v1/judgements", json=GRADE | change)
    assert (response.status_code, response.json()["message"]) == (422, message)
    assert not (tmp_path / "judgements").exists()


def test_storage_errors_are_a_503_and_no_query_text_is_logged(client, tmp_path, caplog):
    (tmp_path / "judgements").write_text("a file where the folder should be")
    with caplog.at_level(logging.INFO, "ray.serve"):
        response = client.post("/v1/judgements", json=GRADE)
        results = search(client, "bread yeast")
    assert (response.status_code, response.json()["message"]) == (503, "the grade was not saved; send it again later")
    assert results["problem"] == "saved grades cannot be read, see the log of the service"
    logged = " ".join(record.getMessage() for record in caplog.records if record.name == "ray.serve")
    assert "cannot save a judgement" in logged
    assert "bread" not in logged


def test_judgements_and_worse_queries_need_a_key(tmp_path, searcher):
    (tmp_path / "keys").write_text(f"web {hashlib.sha256(b'abc').hexdigest()}\n")
    with http_client(tmp_path, searcher, keys=str(tmp_path / "keys")) as client:
        assert client.post("/v1/judgements", json=GRADE).status_code == 401
        assert client.get("/page/worse-queries").status_code == 401
        headers = {"authorization": "Bearer abc"}
        assert client.post("/v1/judgements", json=GRADE, headers=headers).status_code == 200
        assert client.get("/page/worse-queries", headers=headers).status_code == 200
    row = Judgement.model_validate_json(Folder(tmp_path / "judgements").read_text(HISTORY))
    assert row.caller == "web"


def test_judgements_have_the_limits_of_other_requests(tmp_path, searcher):
    with http_client(tmp_path, searcher, limits={"max_characters": 20, "max_body_bytes": 1024}) as client:
        assert client.post("/v1/judgements", json=GRADE | {"query": "w" * 21}).status_code == 422
        assert client.post("/v1/judgements", json=GRADE | {"query": "w" * 2000}).status_code == 413


def test_worse_queries_come_from_the_evaluation(client, tmp_path):
    assert client.get("/page/worse-queries").json() == WORSE.model_dump()
    with http_client(tmp_path, kitchen_searcher(tmp_path / "without")) as without:
        response = without.get("/page/worse-queries")
    assert (response.status_code, response.json()["message"][:36]) == (404, "the served run has no evaluation; ru")


def test_without_a_collection_the_page_routes_are_a_404(tmp_path):
    with http_client(tmp_path) as client:
        assert client.get("/ready").status_code == 200
        for path in ("/page/queries", "/page/worse-queries", "/page/search?query=x"):
            assert client.get(path).status_code == 404
        assert client.post("/v1/judgements", json=GRADE).status_code == 404


class LoadingSearcher:
    """Replaces a Searcher whose replica loads, then runs, then fails."""

    state = "loading"

    async def ready(self):
        if self.state == "loading":
            await asyncio.sleep(60)
        if self.state == "failed":
            raise RuntimeError("the replica has died")
        return True


def test_the_service_is_ready_once_the_index_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(page_search, "_PROBE_SECONDS", 0.05)
    searcher, states = LoadingSearcher(), []
    with http_client(tmp_path, searcher) as client:
        for state in ("failed", "loading", "running", "failed"):
            searcher.state = state
            states.append(client.get("/ready").status_code)
        assert client.get("/health").status_code == 200
    assert states == [503, 503, 200, 200]  # a page that fails later does not take reranking out of service


def test_the_searcher_encodes_a_query_before_it_is_ready(tmp_path, monkeypatch):
    retrieved = []
    target = "actors.retrieval.candidate_lists.CandidateRetriever.retrieve"
    monkeypatch.setattr(target, lambda self, queries: retrieved.extend(query.text for query in queries))
    assert isinstance(kitchen_searcher(tmp_path), Searcher.func_or_class)
    assert len(retrieved) == 1
