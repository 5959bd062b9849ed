"""Tests of reading RankLLM results: both formats, .json and .jsonl files, and errors with their location."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.errors import InputError
from ranking.evaluation.rank_llm import read_rank_llm
from ranking.evaluation.trec_runs import order_of, read_run, to_trec

NEW = [
    {
        "query": {"text": "what is bm25", "qid": 7},
        "candidates": [
            {"docid": "D9", "score": 0.1, "doc": {"contents": "x"}},
            {"docid": 3, "score": 0.9, "doc": {"contents": "y"}},
        ],
    },
    {"query": {"text": "nothing found", "qid": "q2"}, "candidates": []},
]
OLD = [
    {
        "query": "what is bm25",
        "hits": [
            {"qid": "7", "docid": "D9", "rank": 1, "score": 9.5, "content": "x"},
            {"qid": "7", "docid": "3", "rank": 2, "score": 9.5, "content": "y"},
        ],
    }
]


def write(folder, name, entries):
    text = "\n".join(map(json.dumps, entries)) if name.endswith(".jsonl") else json.dumps(entries, indent=2)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_list_order_defines_the_ranking_not_the_scores(tmp_path, name):
    assert read_run(write(tmp_path, name, NEW)) == {"7": {"D9": 2.0, "3": 1.0}, "q2": {}}


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_older_format_reads_the_same(tmp_path, name):
    assert read_run(write(tmp_path, name, OLD)) == {"7": {"D9": 2.0, "3": 1.0}}


def test_gzipped_and_array_files_read_the_same(tmp_path):
    expected = {"7": {"D9": 2.0, "3": 1.0}, "q2": {}}
    for name in ("x.json", "x.jsonl"):
        path = write(tmp_path, name, NEW)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert read_run(tmp_path / f"{name}.gz") == expected
    (tmp_path / "array.jsonl").write_text("\ufeff" + json.dumps(NEW, indent=1))
    assert read_run(tmp_path / "array.jsonl") == expected


def test_half_surrogates_in_texts_do_not_matter(tmp_path):
    path = write(tmp_path, "x.jsonl", [{"query": {"qid": "q", "text": "\ud83d"}, "candidates": [{"docid": "d"}]}])
    assert read_run(path) == {"q": {"d": 1.0}}


def test_other_suffixes_are_trec_runs(tmp_path):
    (tmp_path / "x.trec").write_text(to_trec({"q": {"a": 2.0, "b": 1.0}}, "x"))
    assert read_run(tmp_path / "x.trec") == {"q": {"a": 2.0, "b": 1.0}}


@given(st.dictionaries(st.text(min_size=1), st.lists(st.text(min_size=1), unique=True), min_size=1))
def test_order_round_trips(tmp_path_factory, orders):
    entries = [
        {"query": {"qid": q, "text": ""}, "candidates": [{"docid": d} for d in order]} for q, order in orders.items()
    ]
    path = write(tmp_path_factory.mktemp("rank_llm"), "x.jsonl", entries)
    assert {query_id: order_of(scores) for query_id, scores in read_rank_llm(path).items()} == orders


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], "the run is empty"),
        ([5], "entry 1: expected an object with `query` and `candidates`, not a number"),
        ([NEW[0], NEW[0]], "entry 2: query '7' appears twice"),
        ([{"query": {"qid": "q"}}], "entry 1: `candidates` is missing .* found the fields 'query'"),
        ([{"query": {"qid": "q"}, "invocations_history": []}], "entry 1: this is RankLLM's history"),
        ([{"query": {"qid": "q"}, "ranking_exec_summary": []}], "entry 1: this is RankLLM's history"),
        (
            [{"query": "text", "candidates": []}],
            "entry 1, field query: expected an object with `qid` and `text`, not a string",
        ),
        (
            [{"query": {"qid": None}, "candidates": []}],
            "entry 1, field query.qid: expected a string or an integer, not null",
        ),
        ([{"query": {"qid": ""}, "candidates": []}], "field query.qid: .*, not an empty string"),
        ([{"query": {"qid": "q"}, "candidates": {}}], "entry 1, candidates: expected a list, not an object"),
        (
            [{"query": {"qid": "q"}, "candidates": ["d"]}],
            "candidates, document 1: expected an object with `docid`, not a string",
        ),
        (
            [{"query": {"qid": "q"}, "candidates": [{"docid": 1.5}]}],
            "document 1, field docid: expected a string or an integer",
        ),
        (
            [{"query": {"qid": "q"}, "candidates": [{"docid": 1}, {"docid": "1"}]}],
            "document 2, field docid: '1' appears twice",
        ),
        ([{"query": "t", "hits": []}], "entry 1, hits, field qid: expected the same query id"),
        (
            [{"query": "t", "hits": [{"qid": 1, "docid": "a"}, {"qid": 2, "docid": "b"}]}],
            r"the same query id .*, not \['1', '2'\]",
        ),
        (
            [{"query": "t", "hits": [{"qid": 1, "docid": "a", "rank": 2}, {"qid": 1, "docid": "b", "rank": 1}]}],
            "entry 1, hits, document 2, field rank: expected a number greater than the previous rank, not 1",
        ),
    ],
)
def test_errors_name_entry_and_field(tmp_path, entries, expected):
    with pytest.raises(InputError, match=expected):
        read_rank_llm(write(tmp_path, "x.json", entries))


def test_files_that_are_not_json_or_not_a_list_are_errors(tmp_path):
    (tmp_path / "x.json").write_text('{"query": 1}')
    with pytest.raises(InputError, match="expected a JSON list of results, not an object"):
        read_run(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[]\n[]")
    with pytest.raises(InputError, match=r"x\.json, line 1: not valid JSON \(Extra data"):
        read_run(tmp_path / "x.json")
    (tmp_path / "x.jsonl").write_text(json.dumps(NEW[0]) + "\n{")
    with pytest.raises(InputError, match=r"x\.jsonl, line 2: not valid JSON"):
        read_run(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path / "none.json")
