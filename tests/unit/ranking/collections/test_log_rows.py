"""Query logs: all file formats, splits of any size, and one-line errors for malformed rows."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.collections import log_files
from ranking.collections.log_columns import layout_of
from ranking.collections.log_files import find_log, fingerprint_of_log, splits_of
from ranking.collections.log_rows import LogError, layouts_of, read_split
from ranking.errors import InputError
from ranking.selection.selection_settings import LogColumns, QuerySettings


def splits(place, columns=None):
    files = find_log(str(place))
    return splits_of(files, layouts_of(files, QuerySettings(columns=columns or LogColumns())))


def read(place, columns=None):
    return read_and_skip(place, columns)[0]


def read_and_skip(place, columns=None):
    skipped = Counter()
    settings = QuerySettings(columns=columns or LogColumns())
    rows = [tuple(form) for split in splits(place, columns) for form in read_split(split, settings, skipped)]
    return rows, dict(skipped)


def written(folder, name, content):
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table(content), path, row_group_size=2)
    else:
        path.write_text(content, encoding="utf-8")
    return path


PAIRS = [("sort list", 4, None), ("문자열 나누기", 1, None)]
RAW = [("sort list", 1, None), ("sort  list?", 1, None)]
NAMED = [("sort list", 4, "a"), ("문자열 나누기", 1, "7")]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("log.tsv", "sort list\t4\n문자열 나누기\t1\n", PAIRS),
        ("log.tsv", "\ufeffquery\tfrequency\r\nsort list\t4\r\n\r\n문자열 나누기\t1", PAIRS),
        ("log.tsv", "search\thow often\nsort list\t4\n문자열 나누기\t1", PAIRS),
        ("log.tsv", "count\tquery\n4\tsort list\n1\t문자열 나누기\n", PAIRS),
        ("log.tsv", "user\tquery_id\tquery\tcount\nu\ta\tsort list\t4\nu\t7\t문자열 나누기\t1\n", NAMED),
        ("log.tsv", "sort\tlist\t4\n문자열 나누기\t1\n", PAIRS),
        ("log.csv", '"sort list",4\n문자열 나누기,1\n', PAIRS),
        ("log.csv", '_id,text,frequency\na,"sort\nlist",4\n7,문자열 나누기,1\n', NAMED),
        (
            "log.jsonl",
            '{"_id": "a", "text": "sort list", "frequency": 4}\n{"_id": 7, "text": "문자열 나누기"}\n',
            NAMED,
        ),
        ("log.jsonl", '{"query": "sort list", "count": 4, "when": 1}\n{"query": "문자열 나누기"}\n', PAIRS),
        ("log.parquet", {"text": ["sort list", "문자열 나누기"], "frequency": [4, 1], "when": [1, 2]}, PAIRS),
        ("log.parquet", {"query": ["sort list", "문자열 나누기"], "count": [4, 1], "_id": ["a", "7"]}, NAMED),
    ],
)
def test_all_formats_give_the_same_rows(tmp_path, name, content, expected):
    rows = read(written(tmp_path, name, content))
    assert [(" ".join(text.split()), *rest) for text, *rest in rows] == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.tsv", "sort list\nsort list?\n"),
        ("log.tsv", "text\nsort list\nsort list?\n"),
        ("log.csv", "text\nsort list\nsort list?\n"),
        ("log.jsonl", '{"text": "sort list"}\n{"text": "sort list?"}\n'),
        ("log.parquet", {"text": ["sort list", "sort list?"]}),
    ],
)
def test_rows_without_frequency_count_once(tmp_path, name, content):
    assert read(written(tmp_path, name, content)) == [("sort list", 1, None), ("sort list?", 1, None)]


def test_settings_name_the_columns(tmp_path):
    path = written(tmp_path, "log.tsv", "AnonID\tQuery\tText\n1\tsort list\tx\n")
    assert read(path, LogColumns(text="Query", query_id="AnonID")) == [("sort list", 1, "1")]
    with pytest.raises(
        LogError,
        match=r"line 1: there is no column 'Search' \(queries.columns.text\); the columns are AnonID, Query, Text",
    ):
        read(path, LogColumns(text="Search"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.parquet", {"text": ["sort list", None, " "]}),
        ("log.parquet", {"text": ["sort list", None, " "], "count": [1, None, 0], "_id": [None, "a", "b"]}),
        ("log.jsonl", '{"text": "sort list"}\n{"_id": "a", "text": ""}\n{"words": "b", "count": "x"}\n'),
        ("log.tsv", "text\tuser\nsort list\tu\n \tu\n\u200b\tu\n"),
        ("log.csv", "text,count\nsort list,1\n,2\n,\n"),
        ("log.tsv", "sort list\t1\n \t2\n\t3\n"),
    ],
)
def test_rows_without_a_query_are_skipped_and_counted(tmp_path, name, content):
    assert read_and_skip(written(tmp_path, name, content)) == ([("sort list", 1, None)], {"without a query": 2})


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("log.tsv", "json dumps\t4\nno tab\n", r"log.tsv, line 2: expected 2 columns \(query, frequency\)"),
        ("log.tsv", "json dumps\t4\n\nx\t0\n", "line 3: the frequency must be an integer of at least 1, not 0"),
        ("log.tsv", "json dumps\t4\nx\tmany\n", "line 2: the frequency must be an integer of at least 1, not 'many'"),
        ("log.tsv", "a\tb\tc\n", "line 1: a file with 3 columns needs a header that names the query's column"),
        ("log.csv", 'a,1\n"b,2\n', "line 2: not valid CSV"),
        ("log.csv", "a,1\nb\n", "line 2: expected 2 columns"),
        ("log.jsonl", '{"text": "a"}\n{"text": \n', "line 2: not valid JSON"),
        ("log.jsonl", '{"text": "a"}\n' + "[" * 100_000, r"line 2: not valid JSON \(nested too deeply\)"),
        ("log.jsonl", '{"text": 1' + "0" * 5000 + "}", "line 1: not valid JSON .an integer has more than 4,300 digits"),
        ("log.jsonl", '{"text": "a"}\n{"text": "\\uDC00"}', r"line 2: not valid JSON \(.udc00 is half of a surrogate"),
        (
            "log.jsonl",
            '{"text": "a", "count": 1' + "0" * 30 + "}",
            "line 1: the frequency must be at most 1,000,000,000,",
        ),
        ("log.tsv", "a\t1\nb\t" + "9" * 5000, "line 2: the frequency must be an integer of at least 1, not '99"),
        ("log.jsonl", '{"text": "a"}\n[1]\n', "line 2: expected a JSON object, not list"),
        ("log.jsonl", '{"words": "b"}\n', r"none of the first 1 rows has a query \(text or query\); .* one of words,"),
        ("log.csv", "query,count\na,1\nb,c,2\n", "line 3: expected 2 columns as in the first line, not 3"),
        ("log.tsv", "query\tcount\na\t1\nb\tc\t2\n", "line 3: expected 2 columns as in the first line, not 3"),
        ("log.tsv", "user\tquery\nu\ta\n\nu\tb\tc\n", "line 4: expected 2 columns as in the first line, not 3"),
        ("log.jsonl", '{"text": 3}\n', "line 1: the query must be a string, not 3"),
        ("log.jsonl", '{"_id": " ", "text": "a"}\n', "line 1: the id must be a string or an integer, not ' '"),
        ("log.json", '[{"text": "a"}]\n', "line 1: expected a JSON object, not list; write one object per line"),
        (
            "log.jsonl",
            '{"text": "a", "frequency": true}\n',
            "line 1: the frequency must be an integer of at least 1, not True",
        ),
        ("log.jsonl", '{"text": "a", "frequency": null}\n', "line 1: 'frequency' is null"),
        ("log.parquet", {"words": ["a"]}, "there is no column text or query; set queries.columns.text to one of words"),
        ("log.parquet", {"text": ["a", "b", "c"], "count": [1, 1, None]}, "row 3: 'count' is null"),
        (
            "log.parquet",
            {"text": ["a", "b", "c"], "count": [1, 1, 2.5]},
            "row 3: the frequency must be an integer of at least 1, not 2.5",
        ),
    ],
)
def test_malformed_row_error_names_file_and_line(tmp_path, name, content, expected):
    with pytest.raises(LogError, match=expected) as error:
        read(written(tmp_path, name, content))
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_text_that_is_not_utf_8_is_an_error(tmp_path):
    (tmp_path / "log.tsv").write_bytes(b"good\nb\xff\xfed\n")
    with pytest.raises(LogError, match=r"line 2: not UTF-8 text"):
        read(tmp_path / "log.tsv")


LINES = st.lists(st.text("ab 리\u2028", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=12)


@settings(max_examples=50)
@given(LINES, st.integers(1, 9), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_splits_of_any_size_cover_each_line_once(tmp_path_factory, lines, size, ending):
    path = tmp_path_factory.mktemp("splits") / "log.tsv"
    path.write_bytes("".join(f"{line}\t{n}{ending}" for n, line in enumerate(lines, 1)).encode())
    whole = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "_SPLIT_BYTES", size)
        assert len(splits(path)) >= path.stat().st_size // size
        assert read(path) == whole
    assert [frequency for _, frequency, _ in whole] == list(range(1, len(lines) + 1))


def test_line_numbers_are_relative_to_the_file(tmp_path, monkeypatch):
    path = written(tmp_path, "log.tsv", "".join(f"query {n}\t1\n" for n in range(40)) + "bad\n")
    monkeypatch.setattr(log_files, "_SPLIT_BYTES", 64)
    with pytest.raises(LogError, match="line 41: expected 2 columns"):
        read(path)


def test_parquet_is_split_by_row_groups(tmp_path, monkeypatch):
    path = written(tmp_path, "log.parquet", {"text": list("abcde"), "count": [1, 1, 1, 1, 0]})
    monkeypatch.setattr(log_files, "_SPLIT_BYTES", 1)
    assert [(split.start, split.stop) for split in splits(path)] == [(0, 1), (1, 2), (2, 3)]
    with pytest.raises(LogError, match="row 5: the frequency"):
        read(path)


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("a.tsv", "b/c.tsv", "b/d.jsonl", "_SUCCESS", ".hidden.tsv"):
        (tmp_path / name).write_text(json.dumps({"text": name}) + "\n" if name.endswith("l") else f"{name}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("", ["a.tsv", "b/c.tsv", "b/d.jsonl"]),
        ("/a.tsv", ["a.tsv"]),
        ("/*.tsv", ["a.tsv"]),
        ("/*/*.tsv", ["b/c.tsv"]),
        ("/b/[cd].*", ["b/c.tsv", "b/d.jsonl"]),
    ],
)
def test_paths_folders_and_globs_find_files(logs, place, names, monkeypatch):
    expected = [str(logs / name) for name in names]
    assert [file.path for file in find_log(f"{logs}{place}")] == expected
    assert [file.path for file in find_log(f"file://{logs}{place}")] == expected
    monkeypatch.chdir(logs.parent)
    assert [file.path for file in find_log(f"{logs.name}{place}")] == expected


@pytest.mark.parametrize(
    ("place", "problem"),
    [("/none.tsv", "no such file"), ("/*.csv", "no such file"), ("", "notes.md: the extension must be one of")],
)
def test_location_without_a_log_is_an_error(logs, place, problem):
    (logs / "notes.md").write_text("x")
    with pytest.raises(InputError, match=problem):
        find_log(f"{logs}{place}")


def test_fingerprint_depends_on_content(logs):
    before = fingerprint_of_log(str(logs))
    assert fingerprint_of_log(str(logs)) == before
    (logs / "a.tsv").write_text("b.tsv\n")
    assert fingerprint_of_log(str(logs)) != before


def test_known_column_names_are_a_header_and_a_number_is_not():
    assert layout_of(["text", "count"], LogColumns()).header
    assert layout_of(["sort list", "3"], LogColumns()).frequency == 1
