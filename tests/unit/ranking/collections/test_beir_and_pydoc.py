"""BEIR and pydoc collections: splits of the queries, and one-line errors for malformed files."""

import gzip
import json
import sys

import pytest

from ranking.collections import beir, read_collection
from ranking.collections.pydoc import HERE
from ranking.collections.splits import is_test_half
from ranking.errors import InputError
from ranking.settings import CollectionSettings


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "corpus.jsonl", [{"_id": "d1", "title": "", "text": "one"}, {"doc_id": "d2", "text": "two"}])
    write(tmp_path, "queries.jsonl", [{"query_id": f"q{n}", "text": f"query {n}"} for n in range(8)])
    (tmp_path / "qrels.tsv").write_text("".join(f"q{n}\t0\td{1 + n % 2}\t1\n" for n in range(8)))
    return tmp_path


def write(folder, name, rows):
    (folder / name).write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))


def test_one_qrels_file_divides_queries_without_overlap(folder):
    collection = beir.read(folder, "test")
    tested, logged = {q.query_id for q in collection.test}, {q.query_id for q in collection.log}
    assert tested | logged == {f"q{n}" for n in range(8)}
    assert not tested & logged
    assert set(collection.qrels) == tested


def test_all_queries_of_a_named_split_are_tested(folder):
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    collection = beir.read(folder, "test")
    assert collection.qrels == {"q1": {"d1": 2}}
    assert len(collection.log) == 7


def test_without_qrels_all_queries_are_log_queries(folder):
    (folder / "qrels.tsv").unlink()
    collection = beir.read(folder, "test")
    assert len(collection.log) == 8
    assert collection.test == []
    assert collection.qrels == {}
    assert any("no qrels" in note for note in collection.notes)


def test_qrels_without_the_requested_split_are_an_error(folder):
    (folder / "qrels.tsv").unlink()
    (folder / "qrels").mkdir()
    (folder / "qrels" / "dev.tsv").write_text("q1\td1\t2\n")
    with pytest.raises(InputError, match=r"there is neither qrels/test\.tsv nor qrels\.tsv"):
        beir.read(folder, "test")


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("corpus.jsonl", ['{"_id": "d1", "text": "x"\n'], "corpus.jsonl, line 1: not valid JSON"),
        (
            "corpus.jsonl",
            [{"_id": "d1", "text": "x"}, {"_id": "d1", "text": "y"}],
            "line 2: id 'd1' is already used on line 1",
        ),
        ("corpus.jsonl", ["[" * 100_000 + "\n"], "corpus.jsonl, line 1: not valid JSON (nested too deeply)"),
        ("corpus.jsonl", ['{"_id": 1' + "0" * 5000 + "}\n"], "line 1: not valid JSON (an integer has more than 4,300"),
        ("queries.jsonl", [{"_id": "q1", "text": "x", "frequency": 10**30}], "line 1: 'frequency' must be at most 1,0"),
        (
            "qrels.tsv",
            ["q1\td1\t" + "9" * 5000 + "\n"],
            "line 1: the grade must be an integer of at most 9 digits, not '999",
        ),
        ("corpus.jsonl", [{"text": "x"}], "line 1: the id is missing"),
        ("corpus.jsonl", [{"_id": "d1", "text": 3}], "line 1: 'text' must be a string"),
        ("corpus.jsonl", [], "the corpus is empty"),
        ("queries.jsonl", [{"_id": "q1", "text": "  "}], "line 1: the query is empty"),
        ("queries.jsonl", ["[1]\n"], "line 1: expected a JSON object, not int"),
        ("queries.jsonl", [{"_id": "q1", "text": "x"}, "[1]\n"], "line 2: expected a JSON object, not list"),
        ("corpus.jsonl", [{"_id": 1.0, "text": "x"}], "line 1: the id must be a string or an integer, not 1.0"),
        ("qrels.tsv", ["q99\td1\t1\n"], "none of its 1 queries is in the queries file, for example 'q99'"),
        ("qrels.tsv", ["q1\td1\n"], "line 1: expected 3 columns"),
        ("qrels.tsv", ["q1\td9\t1\n"], "none of its 1 documents is in the corpus, for example 'd9'"),
        ("qrels.tsv", ["q1\td1\t1\n", "q1\td1\t1\n"], "line 2: document 'd1' is judged twice for query 'q1'"),
        ("qrels.tsv", ["q1\td1\t1\n", "q1\td2\thigh\n"], "line 2: the grade must be an integer"),
    ],
)
def test_malformed_file_error_names_file_and_line(folder, name, rows, expected):
    write(folder, name, rows)
    with pytest.raises(InputError) as error:
        beir.read(folder, "test")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


FILES = {
    "corpus.jsonl": '{"_id": "d1", "title": "", "text": "one"}\n{"_id": "d2", "title": "B", "text": "two"}\n',
    "queries.jsonl": '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "second"}\n',
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t0\n",
}


def write_beir(folder, **changed):
    """Write a BEIR folder. The keyword arguments replace the text of corpus, queries and qrels, or are bytes."""
    names = dict(zip(("corpus", "queries", "qrels"), FILES, strict=True))
    (folder / "qrels").mkdir()
    for name, path in names.items():
        content = changed.get(name, FILES[path])
        (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize(
    "changed",
    [
        {"queries": "\ufeff" + FILES["queries.jsonl"]},
        {"qrels": "\ufeffq1\td1\t1\nq2\td2\t0\n"},
        {"qrels": "\ufeff" + FILES["qrels/test.tsv"]},
        {"qrels": "q1\td1\t1.0\nq2\td2\t0.0\n"},
        {"qrels": "corpus-id\tquery-id\tscore\nd1\tq1\t1\nd2\tq2\t0\n"},
        {"corpus": json.dumps([json.loads(line) for line in FILES["corpus.jsonl"].splitlines()], indent=1)},
        {"queries": json.dumps([json.loads(line) for line in FILES["queries.jsonl"].splitlines()])},
        {"corpus": FILES["corpus.jsonl"].replace("\n", "\r\n"), "qrels": FILES["qrels/test.tsv"].replace("\n", "\r\n")},
        {"corpus": gzip.compress(FILES["corpus.jsonl"].encode())},
    ],
)
def test_files_of_other_tools_are_read_alike(tmp_path, changed):
    collection = beir.read(write_beir(tmp_path, **changed), "test")
    assert [(d.doc_id, d.title, d.text) for d in collection.documents] == [("d1", "", "one"), ("d2", "B", "two")]
    assert [(q.query_id, q.text) for q in collection.test] == [("q1", "first"), ("q2", "second")]
    assert collection.qrels == {"q1": {"d1": 1}, "q2": {"d2": 0}}
    assert collection.notes == []


def test_every_file_may_be_gzipped(tmp_path):
    plain = beir.read(write_beir(tmp_path), "test")
    for name in FILES:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    (tmp_path / "qrels" / "train.tsv.gz").write_bytes(gzip.compress(b"q9\td1\t1\n"))
    zipped = beir.read(tmp_path, "test")
    assert (zipped.documents, zipped.test, zipped.qrels) == (plain.documents, plain.test, plain.qrels)
    assert zipped.notes == [
        "train: 1 judgements are left out; the queries file lacks their 1 queries, for example 'q9'"
    ]


def test_judgements_of_unknown_queries_are_left_out_and_counted(tmp_path):
    collection = beir.read(write_beir(tmp_path, qrels="q1\td1\t1\nq9\td1\t1\nq9\td2\t2\n"), "test")
    assert collection.qrels == {"q1": {"d1": 1}}
    assert collection.notes == [
        "test.tsv: 2 judgements are left out; the queries file lacks their 1 queries, for example 'q9'"
    ]


def test_half_surrogate_pairs_are_replaced_and_counted(tmp_path):
    corpus = '{"_id": "d1", "text": "one \\ud83d half"}\n{"_id": "d2", "text": "\\ud83d\\ude00 whole \\\\ud83d"}\n'
    collection = beir.read(write_beir(tmp_path, corpus=corpus), "test")
    assert [d.text for d in collection.documents] == ["one \ufffd half", "\U0001f600 whole \\ud83d"]
    assert collection.notes == ["corpus.jsonl: 1 half surrogate pairs were replaced with U+FFFD"]


def test_missing_corpus_points_to_the_reader_of_tsv(tmp_path):
    (tmp_path / "collection.tsv").write_text("d1\tone\n")
    with pytest.raises(
        InputError, match=r"corpus.jsonl: the file cannot be read .* write trec: for a folder with coll"
    ):
        beir.read(tmp_path, "test")


def test_unknown_kind_and_missing_folder_are_errors():
    with pytest.raises(InputError, match="did you mean 'pydoc'"):
        read_collection(CollectionSettings(source="pydocs"), "test")
    with pytest.raises(InputError, match="no such folder"):
        read_collection(CollectionSettings(source="beir:nowhere"), "test")


def test_pydoc_matches_its_documentation():
    collection = read_collection(CollectionSettings(), "test")
    assert len(collection.documents) >= 2500
    assert len({document.doc_id for document in collection.documents}) == len(collection.documents)
    by_id = {document.doc_id: document for document in collection.documents}
    assert by_id["heapq.merge"].title.startswith("heapq.merge(*iterables")
    assert {"json.dumps", "os.path.join", "str.split"} <= set(by_id)
    assert len({query.text for query in collection.log}) >= 600
    assert len(collection.test) == 120
    assert not {query.text.casefold() for query in collection.log} & {
        query.text.casefold() for query in collection.test
    }
    assert all(any(grade > 0 for grade in grades.values()) for grades in collection.qrels.values())
    assert {grade for grades in collection.qrels.values() for grade in grades.values()} == {0, 1, 2, 3}


def test_passages_do_not_depend_on_the_environment(monkeypatch):
    from ranking.collections.pydoc.passages import read_passages

    plain = read_passages()
    monkeypatch.setenv("A_SECRET_OF_THE_READER", "do not publish {me}")
    assert read_passages() == plain
    assert not any("A_SECRET" in document.title for document in plain)
    local_paths = [sys.prefix, sys.base_prefix, sys.executable]
    assert not [document.doc_id for document in plain for path in local_paths if path in document.content]


def test_judged_passages_missing_in_the_interpreter_are_counted(monkeypatch):
    from ranking.collections import pydoc

    documents = [d for d in pydoc.read_passages() if d.doc_id != "asyncio.shield"]
    monkeypatch.setattr(pydoc, "read_passages", lambda: documents)
    lines = (HERE / "qrels.tsv").read_text().splitlines()
    missing = sum(line.split("\t")[1] == "asyncio.shield" for line in lines)
    assert missing > 0
    # This interpreter may lack other passages too.
    notes = pydoc.read().notes
    assert int(notes[0].split()[0]) >= missing


def test_use_assigns_all_judged_queries_to_log_or_test(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": "words"}) + "\n")
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"a query {n}"}) + "\n" for n in range(9))
    )
    (tmp_path / "qrels.tsv").write_text("".join(f"q{n}\td\t1\n" for n in range(8)))

    def read(use):
        return read_collection(CollectionSettings(source=f"beir:{tmp_path}", use=use), "test")

    both, label, test = read("both"), read("label"), read("test")
    assert both.halved
    assert 0 < len(both.test) < 8
    assert both.notes == [
        f"judged queries are split: {len(both.test)} to test, {8 - len(both.test)} to label; "
        "collection.use: test tests all of them"
    ]
    assert test.notes == []
    assert (len(label.log), label.test, label.qrels, len(label.log_qrels)) == (9, [], {}, 8)
    assert ([query.query_id for query in test.log], len(test.test), len(test.qrels), test.log_qrels) == (
        ["q8"],
        8,
        8,
        {},
    )
    assert len({both.fingerprint, label.fingerprint, test.fingerprint}) == 3


def test_a_half_without_test_queries_is_an_error_unless_all_are_tested(tmp_path):
    query_id = next(f"q{n}" for n in range(99) if not is_test_half(f"q{n}"))
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "words"}\n')
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": query_id, "text": "a query"}) + "\n")
    (tmp_path / "qrels.tsv").write_text(f"{query_id}\td\t1\n")
    with pytest.raises(InputError, match=r"all of its 1 queries fall into the half to label; set collection\.use"):
        read_collection(CollectionSettings(source=f"beir:{tmp_path}"), "test")
    tested = read_collection(CollectionSettings(source=f"beir:{tmp_path}", use="test"), "test")
    assert tested.qrels == {query_id: {"d": 1}}
