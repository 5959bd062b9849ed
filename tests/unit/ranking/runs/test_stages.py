"""Tests of folders, parts and stages: skipping, resuming, superseding and restoring."""

from actors.data.streaming import share_time
from ranking.records import Query, Rejection, TokenCounts
from ranking.runs import stages
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name


def rows(*ids):
    return [Query(query_id=i, text=f"text of {i}") for i in ids]


def test_rows_round_trip_in_typed_parts(tmp_path):
    folder = Folder(tmp_path / "a")
    folder.write_rows("part-1.parquet", [Rejection(query_id="q", stage="labels", reason="r")])
    folder.write_rows("part-2.parquet", [Rejection(query_id="p", stage="labels", reason="r", raw="x")])
    assert [row.raw for row in folder.read_rows(Rejection)] == [None, "x"]
    assert folder.read_table("part-1.parquet").schema == folder.read_table("part-2.parquet").schema


def test_part_name_depends_on_the_ids():
    assert part_name(["a", "b"]) == part_name(["a", "b"]) != part_name(["ab"])


def test_finished_stage_is_recognised_by_its_fingerprint(tmp_path):
    run = Folder(tmp_path)
    stage = Stage(run, "labels", {"depth": 50}, ["in"])
    stage.begin()
    assert stage.manifest is None
    stage.finish(rows_in=3, rows_out=2, rejected=1)
    assert Stage(run, "labels", {"depth": 50}, ["in"]).manifest.rows_out == 2
    assert Stage(run, "labels", {"depth": 51}, ["in"]).manifest is None
    assert Stage(run, "labels", {"depth": 50}, ["other"]).manifest is None


def test_interrupted_stage_keeps_its_parts(tmp_path):
    stage = Stage(Folder(tmp_path), "labels", {}, [])
    stage.begin()
    stage.folder.write_rows("part-1.parquet", rows("q1"))
    resumed = Stage(Folder(tmp_path), "labels", {}, [])
    resumed.begin()
    assert resumed.folder.read_column("query_id") == ["q1"]


def test_changed_settings_supersede_rows_and_restore_them_later(tmp_path):
    run = Folder(tmp_path)
    old, new = Stage(run, "labels", {"v": 1}, []), Stage(run, "labels", {"v": 2}, [])
    old.begin()
    old.folder.write_rows("part-1.parquet", rows("q1"))
    (run / REJECTED).write_rows(
        old.rejected_prefix + "part-1.parquet", [Rejection(query_id="q2", stage="labels", reason="r")]
    )
    (run / REJECTED).write_rows("queries-part-1.parquet", [Rejection(query_id="q3", stage="queries", reason="r")])
    old.finish(rows_in=2, rows_out=1, rejected=1)
    new.begin()
    assert new.folder.names(".parquet") == []
    assert (run / REJECTED).names() == ["queries-part-1.parquet"]
    new.finish(rows_in=0, rows_out=0)
    assert Stage(run, "labels", {"v": 1}, []).restore().rows_out == 1
    assert old.folder.read_column("query_id") == ["q1"]
    assert len(old.rejected_parts()) == 1
    assert Stage(run, "labels", {"v": 2}, []).restore() is not None


def test_concurrent_stages_share_the_time_by_tokens(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stages.time, "monotonic", lambda: clock[0])
    both = {
        split: Stage(Folder(tmp_path), name, {}, []) for split, name in (("log", "labels"), ("test", "test/labels"))
    }
    for stage in both.values():
        stage.begin()
    clock[0] = 80.0
    share_time(both, {"log": TokenCounts(), "test": TokenCounts()})
    assert [stage.share for stage in both.values()] == [0.5, 0.5]
    share_time(both, {"log": TokenCounts(prompt=250, completion=50), "test": TokenCounts(prompt=100)})
    assert [stage.finish(rows_in=0, rows_out=0).seconds for stage in both.values()] == [60.0, 20.0]


def test_interrupted_sessions_count_up_to_their_last_save(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(stages.time, "monotonic", lambda: clock[0])

    def session(*saves):
        """Simulate an interrupted session. Saves are (seconds since the last one, prompt tokens, completion tokens)."""
        stage = Stage(Folder(tmp_path), "labels", {}, [])
        stage.begin()
        for seconds, prompt, completion in saves:
            clock[0] += seconds
            stage.note(TokenCounts(prompt=prompt, completion=completion))
        return stage

    session((30, 100, 10), (5, 120, 12))  # the second save comes too early and is skipped
    session((40, 50, 5))
    last = session((10, 7, 1))
    manifest = last.finish(rows_in=1, rows_out=1, tokens=TokenCounts(prompt=7, completion=1))
    assert manifest.seconds == 30 + 40 + 10
    assert (manifest.tokens.prompt, manifest.tokens.completion) == (157, 16)
    other = Stage(Folder(tmp_path), "labels", {"other": 1}, [])
    other.begin()
    assert other.finish(rows_in=0, rows_out=0).tokens.prompt == 0


def test_finished_finds_rows_without_moving_them(tmp_path):
    run = Folder(tmp_path)
    old, new = Stage(run, "labels", {"v": 1}, []), Stage(run, "labels", {"v": 2}, [])
    assert old.finished() is None
    old.begin()
    assert old.finished() is None
    old.finish(rows_in=0, rows_out=0)
    assert old.finished().path == old.folder.path
    new.begin()
    superseded = old.finished()
    assert superseded.path != old.folder.path
    assert Stage(run, "labels", {"v": 1}, []).finished().path == superseded.path
    assert new.finished() is None
    new.finish(rows_in=0, rows_out=0)
    assert (new.finished().path, old.finished().path) == (new.folder.path, superseded.path)
