"""The args of `serve deploy` are parsed like a command line, and the search page gets what the run has."""

import json

import pyarrow as pa
import pytest

from ranking.errors import InputError
from ranking.evaluation.comparison import measure
from ranking.storage.folder import Folder
from ray_jobs import serve
from ray_jobs.common.run import open_run
from ray_jobs.evaluate import METRICS, PER_QUERY
from tests.testing.kitchen_collection import QUERIES, SETTINGS, kitchen_collection, system


@pytest.fixture
def settings_of(monkeypatch, tmp_path):
    """Return a function that builds the application and returns its settings."""
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": "words"}) + "\n")
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"a query {n}"}) + "\n" for n in range(8))
    )
    (tmp_path / "qrels.tsv").write_text("".join(f"q{n}\td\t1\n" for n in range(8)))
    (tmp_path / "run.yaml").write_text(
        f"{{run: x, collection: {{source: 'beir:{tmp_path}'}}, storage: '{tmp_path}/runs'}}"
    )
    monkeypatch.setattr(serve, "check_champion", lambda run: None)
    monkeypatch.setattr(serve, "build_application", lambda run: run.settings)
    return lambda args: serve.application({"run": str(tmp_path / "run.yaml"), **args})


def test_scalars_objects_and_null_are_settings(settings_of, tmp_path):
    keys = tmp_path / "keys.txt"
    keys.write_text(f"web {'0' * 64}\n")
    settings = settings_of(
        {
            "serving.max_replicas": 4,
            "serving.page": False,
            "serving.keys": str(keys),
            "serving.traffic": {"challenger": "v2", "share": 0.25},
        }
    )
    assert (settings.serving.max_replicas, settings.serving.page, settings.serving.keys) == (4, False, str(keys))
    assert (settings.serving.traffic.challenger, settings.serving.traffic.share) == ("v2", 0.25)
    assert settings_of({"serving.keys": None}).serving.keys is None


ENGINE = {"kind": "http_search", "name": "ours", "url": "http://engine/search", "body": {"q": "{query}"}}


@pytest.mark.parametrize(
    ("retrievers", "searchable", "note"),
    [
        ([{"kind": "bm25"}], True, ""),
        ([{"kind": "parquet", "path": "lists"}], False, ""),
        ([{"kind": "bm25"}, ENGINE], True, "the search page does not ask ours"),
        ([ENGINE], False, "the search page does not ask ours, so it has no search"),
    ],
)
def test_search_page_uses_local_retrievers_only(tmp_path, capsys, retrievers, searchable, note):
    run_file = tmp_path / "run.yaml"
    run_file.write_text(json.dumps({"candidates": {"retrievers": retrievers}, "storage": str(tmp_path)}))
    run = open_run([str(run_file)])
    assert serve._searchable(run) == searchable
    assert " ".join(capsys.readouterr().out.split()) == f"note {note}".strip() * bool(note)


def test_missing_key_file_is_refused_before_the_service_starts(settings_of, tmp_path):
    with pytest.raises(InputError, match=r"setting 'serving.keys': cannot read .*none.txt"):
        settings_of({"serving.keys": str(tmp_path / "none.txt")})


def test_missing_run_file_and_unknown_setting_are_rejected(settings_of):
    with pytest.raises(InputError, match=r"args.run is missing"):
        serve.application({})
    with pytest.raises(InputError, match=r"unknown setting; did you mean --serving.replicas"):
        settings_of({"serving.replica": 2})


@pytest.fixture
def evaluated(monkeypatch, tmp_path):
    """Return a run whose evaluation of the kitchen collection has a student that is worse on some queries."""
    collection = kitchen_collection()
    (tmp_path / "run.yaml").write_text(
        json.dumps({"run": "x", "storage": str(tmp_path), "evaluation": {"first_stages": ["bm25"]}})
    )
    run = open_run([str(tmp_path / "run.yaml")])
    monkeypatch.setattr(type(run), "collection", collection)
    systems = [
        system("first_stage", "bm25", ["d1", "d2", "d3"]),
        system("student", "rra", ["d2", "d1", "d3"], candidates="bm25"),
    ]
    metrics, values = measure(collection, systems, SETTINGS)
    folder = Folder(tmp_path / "x" / "evaluation")
    rows = [
        {"system": key, "measure": name, "query_id": query_id, "value": value}
        for key, by_measure in values.items()
        for name, per_query in by_measure.items()
        for query_id, value in per_query.items()
    ]
    folder.write_table(PER_QUERY, pa.Table.from_pylist(rows))
    folder.write_text(METRICS, metrics.to_json())
    return run


def test_search_page_lists_the_queries_that_got_worse(evaluated):
    content = serve.page_content(evaluated)
    assert (content.worse.system, content.worse.baseline, content.worse.measure) == ("rra@bm25", "bm25", "RR@10")
    shown = [(query.query_id, query.text, query.baseline, query.system) for query in content.worse.queries]
    assert shown == [(key, QUERIES[key], 1.0, 0.5) for key in ("q1", "q2", "q4")]
    assert content.qrels == evaluated.collection.qrels


def test_search_page_works_without_a_readable_evaluation(evaluated, tmp_path, monkeypatch):
    notes = []
    monkeypatch.setattr(evaluated.progress, "stage", lambda stage, text: notes.append(text))
    metrics = tmp_path / "x" / "evaluation" / METRICS
    metrics.write_text(metrics.read_text()[:-9])
    assert serve.page_content(evaluated).worse is None
    assert "the search page does not list the queries that got worse" in notes.pop()
    metrics.unlink()
    assert serve.page_content(evaluated).worse is None
    assert notes == []


def test_search_page_ignores_an_evaluation_of_another_collection(evaluated):
    evaluated.collection.name = "another"
    assert serve.page_content(evaluated).worse is None
