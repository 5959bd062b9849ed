"""The args of `serve deploy` are parsed like a command line."""

import json

import pytest

from ranking.errors import InputError
from ray_jobs import serve
from ray_jobs.common.run import open_run


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
