"""Rankings recorded by RankLLM: both spellings, both kinds of file, and errors that say where."""

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


def written(folder, name, entries):
    text = "\n".join(map(json.dumps, entries)) if name.endswith(".jsonl") else json.dumps(entries, indent=2)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_the_order_of_the_list_is_the_ranking_whatever_the_scores_say(tmp_path, name):
    assert read_run(written(tmp_path, name, NEW)) == {"7": {"D9": 2.0, "3": 1.0}, "q2": {}}


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_the_older_spelling_reads_the_same(tmp_path, name):
    assert read_run(written(tmp_path, name, OLD)) == {"7": {"D9": 2.0, "3": 1.0}}


def test_any_other_suffix_is_a_trec_run(tmp_path):
    (tmp_path / "x.trec").write_text(to_trec({"q": {"a": 2.0, "b": 1.0}}, "x"))
    assert read_run(tmp_path / "x.trec") == {"q": {"a": 2.0, "b": 1.0}}


@given(st.dictionaries(st.text(min_size=1), st.lists(st.text(min_size=1), unique=True), min_size=1))
def test_every_order_comes_back(tmp_path_factory, orders):
    entries = [
        {"query": {"qid": q, "text": ""}, "candidates": [{"docid": d} for d in order]} for q, order in orders.items()
    ]
    path = written(tmp_path_factory.mktemp("rank_llm"), "x.jsonl", entries)
    assert {query_id: order_of(scores) for query_id, scores in read_rank_llm(path).items()} == orders


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], "the run is empty"),
        ([5], "entry 1: an object with `query` and `candidates` is expected, not a number"),
        ([NEW[0], NEW[0]], "entry 2: query '7' stands twice"),
        ([{"query": {"qid": "q"}}], "entry 1: `candidates` is missing .* the fields are 'query'"),
        ([{"query": {"qid": "q"}, "invocations_history": []}], "entry 1: this is RankLLM's history"),
        ([{"query": {"qid": "q"}, "ranking_exec_summary": []}], "entry 1: this is RankLLM's history"),
        (
            [{"query": "text", "candidates": []}],
            "entry 1, field query: an object with `qid` and `text` is expected, not a text",
        ),
        (
            [{"query": {"qid": None}, "candidates": []}],
            "entry 1, field query.qid: a text or whole number is expected, not nothing",
        ),
        ([{"query": {"qid": ""}, "candidates": []}], "field query.qid: .*, not an empty text"),
        ([{"query": {"qid": "q"}, "candidates": {}}], "entry 1, candidates: a list is expected, not an object"),
        (
            [{"query": {"qid": "q"}, "candidates": ["d"]}],
            "candidates, document 1: an object with `docid` is expected, not a text",
        ),
        ([{"query": {"qid": "q"}, "candidates": [{"docid": 1.5}]}], "document 1, field docid: a text or whole number"),
        (
            [{"query": {"qid": "q"}, "candidates": [{"docid": 1}, {"docid": "1"}]}],
            "document 2, field docid: '1' stands twice",
        ),
        ([{"query": "t", "hits": []}], "entry 1, hits, field qid: one query id is expected"),
        (
            [{"query": "t", "hits": [{"qid": 1, "docid": "a"}, {"qid": 2, "docid": "b"}]}],
            r"one query id .*, not \['1', '2'\]",
        ),
        (
            [{"query": "t", "hits": [{"qid": 1, "docid": "a", "rank": 2}, {"qid": 1, "docid": "b", "rank": 1}]}],
            "entry 1, hits, document 2, field rank: a number that rises down the list is expected, not 1",
        ),
    ],
)
def test_what_is_wrong_is_said_with_entry_and_field(tmp_path, entries, expected):
    with pytest.raises(InputError, match=expected):
        read_rank_llm(written(tmp_path, "x.json", entries))


def test_files_that_are_no_json_or_no_list(tmp_path):
    (tmp_path / "x.json").write_text('{"query": 1}')
    with pytest.raises(InputError, match="a JSON list of results is expected, not an object"):
        read_run(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[]\n[]")
    with pytest.raises(InputError, match=r"x\.json: not JSON \(Extra data"):
        read_run(tmp_path / "x.json")
    (tmp_path / "x.jsonl").write_text(json.dumps(NEW[0]) + "\n{")
    with pytest.raises(InputError, match=r"x\.jsonl, line 2: not JSON"):
        read_run(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path / "none.json")
