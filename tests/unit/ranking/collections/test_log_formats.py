"""Query logs as search tools export them: each format is detected by its columns and read without other settings."""

import codecs
import gzip
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranking.collections import log_files
from ranking.collections.log_columns import count_of
from ranking.collections.log_files import find_log, splits_of
from ranking.collections.log_formats import format_of
from ranking.collections.log_rows import LogError, layouts_of, read_split
from ranking.errors import InputError
from ranking.selection.selection_settings import LogColumns, QuerySettings


def read(place, **settings):
    """Read a log. Returns the formats of its files, {query: frequency} and {reason: skipped rows}."""
    queries = QuerySettings(log=str(place), **settings)
    files = find_log(str(place))
    layouts = layouts_of(files, queries)
    skipped, frequencies = Counter(), Counter()
    for split in splits_of(files, layouts):
        for form in read_split(split, queries, skipped):
            frequencies[form.text] += form.frequency
    return [layout.format for layout in layouts], dict(frequencies), dict(skipped)


def lines(*rows):
    return "".join(f"{json.dumps(row) if isinstance(row, dict) else row}\n" for row in rows)


GA4 = "# ----------------\n# Search term report\n# ----------------\n\nSearch term,Event count\nred shoes,12\n#sale,3\n"
AOL = (
    "AnonID\tQuery\tQueryTime\tItemRank\tClickURL\n"
    "142\trentdirect.com\t2006-03-01 07:17:12\t\t\n"
    "142\tlottery\t2006-03-01 10:00:00\t1\thttp://www.example.com\n"
    "142\tlottery\t2006-03-01 10:00:00\t4\thttp://www.example.org\n"
    "142\tlottery\t2006-03-02 10:00:00\t1\thttp://www.example.com\n"
    "142\t-\t2006-03-03 11:00:00\t\t\n"
    "142\t-\t2006-03-03 11:00:00\t\t\n"
    "7\tlottery\t2006-03-03 11:00:00\n"
)
DSL = json.dumps({"query": {"match": {"title": {"query": "red shoes"}}}})


@pytest.mark.parametrize(
    ("name", "content", "expected", "frequencies", "skipped"),
    [
        ("Queries.csv", "Top queries,Clicks,Impressions,CTR,Position\nred shoes,2,\"2,300\",0.09%,14.2\nhat,0,7,0%,1\n",
         "search_console", {"red shoes": 2300, "hat": 7}, {}),
        ("q.csv", "query,impressions,clicks,is_anonymized_query\nred shoes,5,1,false\n,90,3,true\n",
         "search_console", {"red shoes": 5}, {"without a query": 1}),
        ("q.csv", "Top queries;Clicks;Impressions;CTR;Position\nred shoes;2;2.300;0,09%;14,2\n",
         "search_console", {"red shoes": 2300}, {}),
        ("ga4.csv", GA4, "ga4", {"red shoes": 12, "#sale": 3}, {}),
        ("ga4.csv", GA4 + "(not set),400\n,9\nGrand total,11\n",
         "ga4", {"red shoes": 12, "#sale": 3}, {"without a query": 2, "with totals": 1}),
        ("ga4.csv", "# Free form 1\n\nSearch term,Event count,Users\n,15,9,Grand total\nred shoes,12,3\nhat,3,1\n",
         "ga4", {"red shoes": 12, "hat": 3}, {"with totals": 1}),
        ("ga4.csv", "# All\nDay,Views\n01,5\n\n# All\nSearch term,Event count\nred shoes,2\n\n# New\nDay,Views\n02,6\n",
         "ga4", {"red shoes": 2}, {"of other tables": 1}),
        ("ga4.csv", "searchTerm,eventCount\nred shoes,2\n", "ga4", {"red shoes": 2}, {}),
        ("algolia.csv", 'Search,Count,Click-through rate\nred shoes,"1,200",3%\n<empty search>,9000,\n',
         "algolia", {"red shoes": 1200}, {"without a query": 1}),
        ("algolia.jsonl", lines({"search": "red shoes", "count": 3, "nbHits": 20}, {"search": "", "count": 99}),
         "algolia", {"red shoes": 3}, {"without a query": 1}),
        ("user-ct-test-collection-01.txt", AOL, "aol", {"rentdirect.com": 1, "lottery": 3},
         {"without a query": 2, "that repeat a search": 1}),
        ("ubi.jsonl", lines({"query_id": "1", "user_query": "red shoes", "client_id": "c", "query": "{}"},
                            {"query_id": "2", "user_query": ""}, {"query_id": "3", "user_query": "red shoes"},
                            {"query_id": "3", "action_name": "click", "user_query": "red shoes"}),
         "ubi_queries", {"red shoes": 2}, {"without a query": 1, "of other events": 1}),
        ("ubi.ndjson", lines({"_index": "ubi_queries", "_id": "x", "_source": {"query_id": "1", "user_query": "hat"}}),
         "ubi_queries", {"hat": 1}, {}),
        ("events.jsonl", lines({"action_name": "click", "query_id": "1", "message": "SKU-1"},
                               {"action_name": "on_search", "query_id": "1", "message": "hat", "message_type": "QUERY"},
                               {"action_name": "search", "query_id": "2", "user_query": "red shoes", "message": "x"}),
         "ubi_events", {"hat": 1, "red shoes": 1}, {"of other events": 1}),
        ("mixed.jsonl", lines({"query_id": "a", "type": "query", "query": "red shoes"},
                              {"query_id": "a", "type": "clicked", "result_id": "r", "position": 0}),
         "table", {"red shoes": 1}, {"without a query": 1}),
        ("es_index_search_slowlog.json", lines(
            {"elasticsearch.slowlog.source": '{"query":{"match_all":{}}}', "log.logger": "index.search.slowlog.query"},
            {"elasticsearch.slowlog.source": DSL, "log.logger": "index.search.slowlog.query"},
            {"elasticsearch.slowlog.source": DSL, "log.logger": "index.search.slowlog.fetch"}),
         "slow_log", {"red shoes": 1}, {"without a query": 1, "of the fetch phase": 1}),
        ("filebeat.jsonl", lines({"elasticsearch": {"slowlog": {"source": DSL}}, "log": {"logger": "a.query"}},
                                 {"elasticsearch": {"slowlog": {"source": DSL}}, "log": {"logger": "a.fetch"}}),
         "slow_log", {"red shoes": 1}, {"of the fetch phase": 1}),
        ("opensearch_index_search_slowlog.json", lines(
            {"type": "index_search_slowlog", "component": "i.s.s.query", "source": DSL, "took_millis": 12},
            {"type": "index_search_slowlog", "component": "i.s.s.query", "source": "{\"query", "took_millis": 12}),
         "slow_log", {"red shoes": 1}, {"whose source is not a JSON object": 1}),
    ],
)  # fmt: skip
def test_format_is_detected_and_read(tmp_path, name, content, expected, frequencies, skipped):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read(tmp_path / name) == ([expected], frequencies, skipped)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode("utf-8-sig")))
    assert read(tmp_path / f"{name}.gz") == ([expected], frequencies, skipped)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.tsv", "Query\tCount\nred shoes\t2\n"),
        ("log.csv", "QUERY,COUNT\nred shoes,2\n"),
        ("log.csv", "sep=;\nQuery;Count\nred shoes;2\n"),
        ("log.csv", "Query\tCount\nred shoes\t2\n"),
        ("log.csv", "red shoes;2\n"),
        ("log.csv", "Suchbegriff;Anzahl\nred shoes;2\n"),
        ("log.csv", "# Bericht\n\nSuchbegriff;Anzahl\nred shoes;2\n"),
        ("log.csv", "Query,Count\nred shoes,2.0\nQuery,Count\n"),
        ("log.jsonl", '{"Query": "red shoes", "COUNT": 2}\n'),
        ("log.jsonl", '{"Query": "red shoes", "COUNT": "2"}\n'),
        ("log.jsonl", '{"_source": {"query": "red shoes", "count": 2.0}}\n'),
    ],
)
def test_headers_delimiters_and_encodings_are_recognised(tmp_path, name, content):
    for variant in (content, content.replace("\n", "\r\n")):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            (tmp_path / name).write_bytes(variant.encode(encoding))
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(variant.encode(encoding)))
            for path in (tmp_path / name, tmp_path / f"{name}.gz"):
                assert read(path)[1] == {"red shoes": 2}


def test_parquet_columns_are_found_in_structs_and_in_any_case(tmp_path):
    pq.write_table(pa.table({"Query": ["hat", None], "COUNT": [2, 5]}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == (["table"], {"hat": 2}, {"without a query": 1})
    rows = [{"_id": "1", "_source": {"query_id": "1", "user_query": "hat"}}, {"_id": "2", "_source": {"query_id": "2"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet") == (["ubi_queries"], {"hat": 1}, {"without a query": 1})
    aol = {"AnonID": [1, 1, 2], "Query": ["hat"] * 3, "QueryTime": ["t"] * 3, "ItemRank": [1, 2, 1]}
    pq.write_table(pa.table(aol), tmp_path / "c.parquet", row_group_size=1)
    assert read(tmp_path / "c.parquet") == (["aol"], {"hat": 2}, {"that repeat a search": 1})


def test_settings_name_nested_paths(tmp_path):
    row = {"hits": [{"request": {"body.q": "red shoes"}, "n": 4}], "query": "other"}
    (tmp_path / "log.jsonl").write_text(lines(row, {"hits": []}))
    columns = LogColumns(text="hits.0.Request.body.q", frequency="hits.0.n")
    assert read(tmp_path / "log.jsonl", columns=columns) == (["table"], {"red shoes": 4}, {"without a query": 1})


def test_format_in_the_settings_takes_precedence(tmp_path):
    (tmp_path / "log.jsonl").write_text(lines({"body": DSL, "query": "x"}))
    columns = LogColumns(text="body")
    assert read(tmp_path / "log.jsonl", columns=columns, format="slow_log")[1] == {"red shoes": 1}
    assert read(tmp_path / "log.jsonl", columns=columns)[1] == {DSL: 1}
    (tmp_path / "log.csv").write_text("# Bericht\nSuchbegriff,Anzahl,Nutzer\nred shoes,2,1\n(not set),5,1\n")
    columns = LogColumns(text="Suchbegriff", frequency="anzahl")
    assert read(tmp_path / "log.csv", columns=columns, format="ga4")[1] == {"red shoes": 2}
    with pytest.raises(LogError, match=r"log.csv, line 1: format ga4 needs a column search term or .*columns.text"):
        read(tmp_path / "log.csv", format="ga4")


def test_named_column_that_is_missing_is_an_error(tmp_path):
    (tmp_path / "log.csv").write_text("# report\n\nSearch term,Event count\nred shoes,2\n")
    with pytest.raises(LogError, match=r"line 3: there is no column 'users' \(queries.columns.frequency\)"):
        read(tmp_path / "log.csv", columns=LogColumns(frequency="users"))
    (tmp_path / "log.jsonl").write_text(lines({"other": 1}, {"query": "hat"}))
    with pytest.raises(LogError, match=r"line 2: there is no column 'users' \(queries.columns.frequency\)"):
        read(tmp_path / "log.jsonl", columns=LogColumns(frequency="users"))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("log.csv", "Search term,Event count\nred shoes,12\nhat,3,4\n", "line 3: expected 2 columns"),
        ("log.csv", "# report\n\nSearch term,Event count\nred shoes,12,3\n", "line 4: expected 2 columns"),
        ("aol.tsv", AOL + "1\ta\tb\tc\td\te\n", "line 9: expected 5 columns as in the first line, not 6"),
        ("log.csv", "Query;Count\nhat;1,234\n", "line 2: the frequency must be an integer of at least 1, not '1,234'"),
        ("log.csv", "Query,Count\nhat,1.234\n", "line 2: the frequency must be an integer of at least 1, not '1.234'"),
        ("log.csv", "Begriff,Klicks,Anzahl\nhat,1,2\n", "line 1: .* queries.columns.text; the columns are Begriff,"),
        ("log.csv", "# Bericht\nBegriff,Klicks,Anzahl\nhat,1,2\n", "line 2: expected 1 column as in the first line"),
        ("log.csv", "how to sort\nhow to sort, in place\n", "line 2: expected 1 column as in the first line, not 2"),
        ("notes.txt", "buy milk\n", "line 1: a .txt file needs a header with the query's column"),
        ("log.jsonl", lines({"user": {"name": "x"}}), "none of the first 1 rows has a query .* one of user.name,"),
    ],
)  # fmt: skip
def test_malformed_export_is_an_error_with_its_line(tmp_path, name, content, problem):
    (tmp_path / name).write_text(content)
    with pytest.raises(LogError, match=problem) as error:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.tsv.gz", b"red shoes\t1\n", "not a gzip file, although its name ends in .gz"),
        ("a.tsv.gz", gzip.compress(b"red shoes\t1\n" * 1000, mtime=0)[:-20], "the gzip file is truncated or damaged"),
        ("a.csv", codecs.BOM_UTF16_LE + b"\x00\xd8", "not UTF-16.* text"),
    ],
)
def test_damaged_file_is_an_error_in_one_line(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LogError, match=problem):
        read(tmp_path / name)


def test_compressed_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    with pytest.raises(InputError, match="the extension must be one of"):
        find_log(str(tmp_path))


def test_lines_of_hashtags_are_queries(tmp_path):
    (tmp_path / "log.csv").write_text("#python\n#java\nred shoes\n")
    assert read(tmp_path / "log.csv")[1] == {"#python": 1, "#java": 1, "red shoes": 1}
    (tmp_path / "log.csv").write_text("#python,2\n#java,1\nred shoes,4\n")
    assert read(tmp_path / "log.csv")[1] == {"#python": 2, "#java": 1, "red shoes": 4}


def test_query_named_total_is_kept_unless_it_is_the_sum(tmp_path):
    (tmp_path / "log.csv").write_text("query,count\nTotal,5\nred shoes,4\nhat,3\n")
    assert read(tmp_path / "log.csv")[1:] == ({"Total": 5, "red shoes": 4, "hat": 3}, {})
    (tmp_path / "log.csv").write_text("query,count\nTotal,7\nred shoes,4\nhat,3\n")
    assert read(tmp_path / "log.csv")[1:] == ({"red shoes": 4, "hat": 3}, {"with totals": 1})


def test_ubi_queries_and_events_together_are_refused(tmp_path):
    (tmp_path / "queries.jsonl").write_text(lines({"query_id": "1", "user_query": "hat"}))
    (tmp_path / "events.jsonl").write_text(lines({"query_id": "1", "action_name": "search", "user_query": "hat"}))
    with pytest.raises(InputError, match="ubi_queries and of ubi_events count the same searches twice"):
        read(tmp_path)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_searches_are_counted_once_whatever_the_split_size(tmp_path, size, monkeypatch):
    (tmp_path / "aol.tsv").write_text(AOL)
    (tmp_path / "log.tsv").write_text("\ufeffQuery\tCount\nhat\t2\n\n \t4\nshoes\t1\n", encoding="utf-8")
    monkeypatch.setattr(log_files, "_SPLIT_BYTES", size)
    assert read(tmp_path / "aol.tsv")[1] == {"rentdirect.com": 1, "lottery": 3}
    assert read(tmp_path / "log.tsv")[1:] == ({"hat": 2, "shoes": 1}, {"without a query": 1})


@pytest.mark.parametrize(
    ("text", "delimiter", "expected"),
    [
        ("1,234,567", ",", 1234567),
        ("1.234", ";", 1234),
        ("1 234", ";", 1234),
        ("1\u202f234\u202f567", ";", 1234567),
        ("1'234", ",", 1234),
        ("12.0", ",", 12),
        ("12.0", ";", 12),
        ("1,234", ";", None),
        ("1.234", ",", None),
        ("12,34", ",", None),
        ("1,23,456", ",", None),
        ("1,234.5", ",", None),
        ("1,234", "", None),
        ("-5", ",", None),
        ("", ",", None),
        ("9" * 5000, ",", None),
        ("\u0661", ",", None),
    ],
)
def test_thousands_separators_follow_the_delimiter(text, delimiter, expected):
    assert count_of(text, delimiter) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["query", "source", "took_millis"], "table"),
        (["query", "count", "clicks", "impressions"], "table"),
        (["query", "search", "count"], "table"),
        (["search"], None),
        (["message", "timestamp"], None),
        (["query", "clicks", "impressions"], "search_console"),
    ],
)
def test_format_is_only_detected_if_it_is_unambiguous(columns, expected):
    assert format_of(columns) == expected
