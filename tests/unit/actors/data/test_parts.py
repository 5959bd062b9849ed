"""Parts in slices, and that each query is kept once."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data.parts import (
    doc_ids_in,
    done_now,
    hashed,
    ids_done,
    ids_in,
    read_slice,
    select,
    settle,
    slices_of,
)
from actors.data.rows import CandidateList, NamedList, QueryCandidates
from ranking.records import Candidate, Query, Rejection
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder, schema_of


def query(name):
    return Query(query_id=name, text=f"text {name}")


def write(folder, **parts):
    for name, ids in parts.items():
        folder.write_rows(f"{name}.parquet", [query(i) for i in ids])


@pytest.mark.parametrize("step", [1, 3, 1000, 5000])
def test_slices_hold_every_row_once_and_in_order(step, tmp_path):
    folder = Folder(tmp_path)
    ids = [f"q{n:04}" for n in range(2500)]
    write(folder, a=ids[:2100], b=ids[2100:])
    slices, rows = slices_of(folder, lambda rows: max(step, rows // 50))
    tables = [read_slice(folder, one, schema_of(Query)) for one in slices]
    assert rows == 2500
    assert [i for table in tables for i in table["query_id"].to_pylist()] == ids
    assert max(table.num_rows for table in tables) <= max(step, 50)


@given(st.lists(st.text(max_size=4)), st.sets(st.text(max_size=4)))
def test_select_divides_rows_by_their_ids(rows, ids):
    table = pa.table({"query_id": pa.array(rows, pa.string())})
    known = hashed(ids)
    assert select(table, known, inside=True)["query_id"].to_pylist() == [row for row in rows if row in ids]
    assert select(table, known, inside=False)["query_id"].to_pylist() == [row for row in rows if row not in ids]


def test_settling_leaves_each_query_once_and_a_row_wins_over_a_rejection(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    write(stage.folder, a=["q1", "q2"], b=["q2", "q3"], c=["q1"])
    rejected = [Rejection(query_id=i, stage="labels", reason="r") for i in ("q3", "q4")]
    (stage.run / REJECTED).write_rows(stage.rejected_prefix + "x.parquet", rejected)
    assert ids_done(done_now(stage)).tolist() == hashed(["q1", "q2", "q3", "q4"]).tolist()
    assert settle(stage) == (3, 1)
    assert sorted(stage.folder.read_column("query_id")) == ["q1", "q2", "q3"]
    assert (stage.run / REJECTED).read_column("query_id") == ["q4"]
    assert settle(stage) == (3, 1)
    assert ids_in(stage.folder).tolist() == hashed(["q1", "q2", "q3"]).tolist()


def test_what_is_done_stays_as_it_was_when_asked_first(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    write(stage.folder, a=["q1"])
    before = done_now(stage)
    write(stage.folder, b=["q2"])
    assert ids_done(before).tolist() == hashed(["q1"]).tolist()
    assert ids_done(done_now(stage)).tolist() == hashed(["q1", "q2"]).tolist()


def test_settling_sweeps_away_what_a_killed_writer_left_behind(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    write(stage.folder, a=["q1"])
    (stage.run / REJECTED).write_rows(
        stage.rejected_prefix + "x.parquet", [Rejection(query_id="q2", stage="labels", reason="r")]
    )
    for folder in (stage.folder, stage.run / REJECTED):
        folder.write_text(".partial-0", "half a par")
    assert settle(stage) == (1, 1)
    assert stage.folder.names() == ["a.parquet"]
    assert (stage.run / REJECTED).names() == [f"{stage.rejected_prefix}x.parquet"]


def test_the_documents_of_candidate_lists_are_found_once_each(tmp_path):
    def listed(*ids):
        return [Candidate(doc_id=i, title="", text=f"text {i}", rank=1, score=1.0, retriever="bm25") for i in ids]

    log, test = Folder(tmp_path / "log"), Folder(tmp_path / "test")
    log.write_rows("part-1.parquet", [CandidateList(query_id="q", text="t", candidates=listed("b", "a"))])
    log.write_rows(
        "part-2.parquet",
        [
            CandidateList(query_id="p", text="t", candidates=listed("a")),
            CandidateList(query_id="o", text="t", candidates=[]),
        ],
    )
    lists = [NamedList(name="bm25", candidates=listed("c", "d")), NamedList(name="fused", candidates=listed("d"))]
    test.write_rows("part-1.parquet", [QueryCandidates(query_id="q", text="t", lists=lists)])
    assert doc_ids_in(log) == ["a", "b"]
    assert doc_ids_in(test) == ["c", "d"]
    assert doc_ids_in(Folder(tmp_path / "none")) == []
