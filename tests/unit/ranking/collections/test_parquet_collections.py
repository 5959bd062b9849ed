"""Parquet collections: tables, repaired values and one-line errors."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranking.collections import read_collection
from ranking.errors import InputError
from ranking.settings import CollectionSettings


def read(source, split="test"):
    return read_collection(CollectionSettings(source=source), split)


TABLES = {
    "documents": {"doc_id": ["d1", "d2"], "text": ["one", "two"], "title": ["A", None]},
    "queries": {"query_id": [1, 2, 3], "text": ["a  query", "another", "third"], "frequency": [5, None, 1]},
    "qrels": {"query_id": ["1", "2"], "doc_id": ["d1", "d2"], "grade": [2, 1], "split": ["test", "train"]},
}


def written(place, **changed):
    for name, columns in {**TABLES, **changed}.items():
        if columns is not None:
            (place / name).mkdir(exist_ok=True)
            pq.write_table(pa.table(columns), place / name / "part-1.parquet")
    return f"parquet:{place}"


def test_parquet_collection_is_read(tmp_path):
    collection = read(written(tmp_path))
    assert [(d.doc_id, d.title) for d in collection.documents] == [("d1", "A"), ("d2", "")]
    assert [(q.query_id, q.text, q.frequency) for q in collection.test] == [("1", "a query", 5)]
    assert [q.query_id for q in collection.log] == ["2", "3"]
    assert collection.log_qrels == {"2": {"d2": 1}}
    assert read(written(tmp_path, qrels={**TABLES["qrels"], "split": ["dev", "dev"]}), "dev").qrels == {
        "1": {"d1": 2},
        "2": {"d2": 1},
    }


def test_parquet_integers_written_as_floats_are_read(tmp_path):
    source = written(
        tmp_path,
        queries={**TABLES["queries"], "frequency": [5.0, float("nan"), 1.0]},
        qrels={**TABLES["qrels"], "query_id": ["1", "9"], "grade": [2.0, 0.0], "split": ["test", "test"]},
    )
    collection = read(source)
    assert [q.frequency for q in [*collection.test, *collection.log]] == [5, 1, 1]
    assert collection.qrels == {"1": {"d1": 2}}
    assert collection.notes == [
        "qrels: 1 judgements are left out; the queries file lacks their 1 queries, for example '9'"
    ]


def test_parquet_collection_without_judgements_is_read(tmp_path):
    collection = read(written(tmp_path, qrels=None))
    assert collection.test == []
    assert len(collection.log) == 3


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"documents": {"doc_id": ["d1"]}},
            r"documents/part-1.parquet: there is no column 'text'; the columns are doc_id",
        ),
        (
            {"documents": {"doc_id": ["d1", "d1"], "text": ["a", "b"]}},
            r"documents/part-1.parquet, row 2: doc_id 'd1' is repeated",
        ),
        (
            {"documents": {"doc_id": ["d1"], "text": pa.array([None], pa.string())}},
            r"row 1: 'text' must be a string, not None",
        ),
        (
            {"queries": {"query_id": ["1"], "text": [3]}},
            r"queries/part-1.parquet, row 1: 'text' must be a string, not 3",
        ),
        (
            {"qrels": {"query_id": ["9"], "doc_id": ["d1"], "grade": [1]}},
            r"/qrels: none of its 1 queries is in the queries file, for example '9'",
        ),
        (
            {"qrels": {"query_id": ["1"], "doc_id": ["d1"], "grade": ["x"]}},
            r"row 1: 'grade' must be an integer, not 'x'",
        ),
        (
            {"qrels": {"query_id": ["1", "1"], "doc_id": ["d1", "d1"], "grade": [1, 1]}},
            r"row 2: document 'd1' is judged twice for query '1'",
        ),
        (
            {"qrels": {"query_id": ["1"], "doc_id": ["d1"], "grade": [0.5]}},
            r"row 1: 'grade' must be an integer, not 0.5",
        ),
        (
            {"qrels": {"query_id": ["1"], "doc_id": ["d1"], "grade": [10**9]}},
            r"row 1: 'grade' must have at most 9 digits",
        ),
        ({"queries": {"query_id": ["1"], "text": ["x"], "frequency": [10**15]}}, r"row 1: 'frequency' must be at most"),
        ({"qrels": {**TABLES["qrels"], "split": ["test", None]}}, r"1 queries have judgements without a split"),
        ({"queries": {"query_id": ["1"], "text": ["  "]}}, r"query '1' is empty"),
        (
            {"queries": {"query_id": ["1"], "text": ["x"], "frequency": [-3]}},
            r"row 1: 'frequency' must be an integer of at least 1",
        ),
        (
            {"qrels": {**TABLES["qrels"], "split": ["dev", "dev"]}},
            r"no judgements for split 'test'; the splits are dev",
        ),
    ],
)
def test_malformed_parquet_error_names_part_and_row(tmp_path, changed, expected):
    with pytest.raises(InputError, match=expected):
        read(written(tmp_path, **changed))


def test_folder_without_parquet_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"documents: no .parquet file found"):
        read(f"parquet:{tmp_path}")
