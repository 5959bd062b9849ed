"""Searches and clicks of User Behavior Insights."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ranking.clicks.click_settings import ClickSettings
from ranking.clicks.ubi_clicks import estimated_rows, ubi_clicks, ubi_files, ubi_rankings
from ranking.errors import InputError

SEARCHES = [
    {"query_id": "a", "user_query": "red shoes", "query_response_hit_ids": ["d1", 2]},
    {"query_id": "b", "user_query": "boots", "query_response_hit_ids": []},
    {"query_id": "c", "user_query": None, "query_response_hit_ids": ["d1"]},
    {"_source": {"query_id": "d", "user_query": "hats", "query_response_hit_ids": "d7"}},
]


def event(query_id, action, **attributes):
    return {"query_id": query_id, "action_name": action, "event_attributes": attributes}


EVENTS = [
    event("a", "click", object={"object_id": 2}, position={"ordinal": 1}),
    event("a", "impression", object={"object_id": "d1"}),
    event("a", "Click", position={"ordinal": 2}),
    event("a", "click"),
    event(None, "click", object={"object_id": "d1"}),
    {"_source": event("d", "click", object={"object_id": "d7"})},
]


def written(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return ubi_files(str(path), "clicks.ubi_queries")


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_searches_and_clicks_are_read(name, tmp_path):
    files = written(tmp_path / name, SEARCHES)
    assert list(ubi_rankings(files)) == [("a", "red shoes", ["d1", "2"]), ("d", "hats", ["d7"])]
    assert estimated_rows(files) > 0
    events = written(tmp_path / name, EVENTS)
    assert list(ubi_clicks(events)) == [("a", 0, "2"), ("a", 2, None), ("d", 0, "d7")]


def test_parquet_files_are_read(tmp_path):
    pq.write_table(pa.Table.from_pylist([{**SEARCHES[0], "query_response_hit_ids": ["d1"]}]), tmp_path / "q.parquet")
    files = ubi_files(str(tmp_path / "q.parquet"), "clicks.ubi_queries")
    assert list(ubi_rankings(files)) == [("a", "red shoes", ["d1"])]


def test_bad_files_are_one_line(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"query_id": "a"}\n[1]\n')
    with pytest.raises(InputError, match=r"log\.jsonl, line 2: expected a JSON object, not list"):
        list(ubi_rankings(ubi_files(str(tmp_path), "clicks.ubi_queries")))
    with pytest.raises(InputError, match=r"clicks\.ubi_events .*none: no such file"):
        ubi_files(str(tmp_path / "none"), "clicks.ubi_events")
    (tmp_path / "log.tsv").write_text("a\n")
    with pytest.raises(InputError, match=r"clicks\.ubi_events .*log\.tsv: use \.jsonl files"):
        ubi_files(str(tmp_path), "clicks.ubi_events")


def test_searches_need_events():
    with pytest.raises(ValidationError, match="ubi_queries and ubi_events belong together"):
        ClickSettings(ubi_queries="queries.jsonl")


TRUNCATED = gzip.compress(b"{}\n", mtime=0)[:-5]


@pytest.mark.parametrize(("name", "content"), [("log.parquet", b"PAR1"), ("log.jsonl.gz", TRUNCATED)])
def test_damaged_files_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: the file is damaged"):
        list(ubi_clicks(ubi_files(str(tmp_path), "clicks.ubi_events")))
