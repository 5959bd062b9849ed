"""Slices of Parquet parts, filtering by query id, and removal of duplicate rows."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data.parts import (
    count_rejection_reasons,
    doc_ids_in,
    filter_by_id,
    finished_ids,
    finished_parts,
    hash_ids,
    ids_in,
    read_slice,
    remove_duplicate_rows,
    slices_of,
)
from ranking.records import Candidate, CandidateList, NamedList, Query, QueryCandidates, Rejection
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import schema_of


def query(name):
    return Query(query_id=name, text=f"text {name}")


def write(folder, **parts):
    for name, ids in parts.items():
        folder.write_rows(f"{name}.parquet", [query(i) for i in ids])


@pytest.mark.parametrize("step", [1, 3, 1000, 5000])
def test_slices_cover_every_row_once_in_order(step, tmp_path):
    folder = Folder(tmp_path)
    ids = [f"q{n:04}" for n in range(2500)]
    write(folder, a=ids[:2100], b=ids[2100:])
    slices, rows = slices_of(folder, lambda rows: max(step, rows // 50))
    tables = [read_slice(folder, part_slice, schema_of(Query)) for part_slice in slices]
    assert rows == 2500
    assert [i for table in tables for i in table["query_id"].to_pylist()] == ids
    assert max(table.num_rows for table in tables) <= max(step, 50)


@given(st.lists(st.text(max_size=4)), st.sets(st.text(max_size=4)))
def test_filter_by_id_keeps_or_drops_known_ids(rows, ids):
    table = pa.table({"query_id": pa.array(rows, pa.string())})
    known = hash_ids(ids)
    assert filter_by_id(table, known, include=True)["query_id"].to_pylist() == [row for row in rows if row in ids]
    assert filter_by_id(table, known, include=False)["query_id"].to_pylist() == [row for row in rows if row not in ids]


def test_duplicates_are_removed_and_rows_win_over_rejections(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    write(stage.folder, a=["q1", "q2"], b=["q2", "q3"], c=["q1"])
    rejected = [Rejection(query_id=i, stage="labels", reason="r") for i in ("q3", "q4")]
    (stage.run / REJECTED).write_rows(stage.rejected_prefix + "x.parquet", rejected)
    assert finished_ids(finished_parts(stage)).tolist() == hash_ids(["q1", "q2", "q3", "q4"]).tolist()
    assert remove_duplicate_rows(stage) == (3, 1)
    assert sorted(stage.folder.read_column("query_id")) == ["q1", "q2", "q3"]
    assert (stage.run / REJECTED).read_column("query_id") == ["q4"]
    assert remove_duplicate_rows(stage) == (3, 1)
    assert ids_in(stage.folder).tolist() == hash_ids(["q1", "q2", "q3"]).tolist()


def test_finished_parts_do_not_include_parts_written_later(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    write(stage.folder, a=["q1"])
    before = finished_parts(stage)
    write(stage.folder, b=["q2"])
    assert finished_ids(before).tolist() == hash_ids(["q1"]).tolist()
    assert finished_ids(finished_parts(stage)).tolist() == hash_ids(["q1", "q2"]).tolist()


def test_partial_files_of_a_killed_writer_are_deleted(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    write(stage.folder, a=["q1"])
    (stage.run / REJECTED).write_rows(
        stage.rejected_prefix + "x.parquet", [Rejection(query_id="q2", stage="labels", reason="r")]
    )
    for folder in (stage.folder, stage.run / REJECTED):
        folder.write_text(".partial-0", "half a par")
    assert remove_duplicate_rows(stage) == (1, 1)
    assert stage.folder.names() == ["a.parquet"]
    assert (stage.run / REJECTED).names() == [f"{stage.rejected_prefix}x.parquet"]


def test_doc_ids_of_candidate_lists_are_distinct(tmp_path):
    def candidates(*ids):
        return [Candidate(doc_id=i, title="", text=f"text {i}", rank=1, score=1.0, retriever="bm25") for i in ids]

    log, test = Folder(tmp_path / "log"), Folder(tmp_path / "test")
    log.write_rows("part-1.parquet", [CandidateList(query_id="q", text="t", candidates=candidates("b", "a"))])
    log.write_rows(
        "part-2.parquet",
        [
            CandidateList(query_id="p", text="t", candidates=candidates("a")),
            CandidateList(query_id="o", text="t", candidates=[]),
        ],
    )
    lists = [
        NamedList(name="bm25", candidates=candidates("c", "d")),
        NamedList(name="fused", candidates=candidates("d")),
    ]
    test.write_rows("part-1.parquet", [QueryCandidates(query_id="q", text="t", lists=lists)])
    assert doc_ids_in(log) == ["a", "b"]
    assert doc_ids_in(test) == ["c", "d"]
    assert doc_ids_in(Folder(tmp_path / "none")) == []


def test_rejection_reasons_that_differ_in_numbers_are_counted_together(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    reasons = ["3 of 20 texts are too long", "no entry", "12 of 20 texts are too long", "1 of 7 texts are too long"]
    rows = [Rejection(query_id=f"q{n}", stage="labels", reason=reason) for n, reason in enumerate(reasons)]
    (stage.run / REJECTED).write_rows(f"{stage.rejected_prefix}a.parquet", rows[:3])
    (stage.run / REJECTED).write_rows(f"{stage.rejected_prefix}b.parquet", rows[3:])
    (stage.run / REJECTED).write_rows("candidates-a.parquet", rows)
    assert count_rejection_reasons(stage).most_common() == [("3 of 20 texts are too long", 3), ("no entry", 1)]
