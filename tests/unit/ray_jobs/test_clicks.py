"""The job that estimates relevance from recorded clicks."""

import json

import pytest

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING
from ranking.errors import InputError
from ranking.records import QueryClicks
from ranking.runs.stages import manifest_of
from ranking.storage.folder import Folder
from ray_jobs import clicks as job
from ray_jobs.common.run import open_run
from tests.testing.recorded_traffic import PROPENSITIES, click, exposure, record_traffic


def opened(storage, *overrides):
    (storage / "run.yaml").write_text("run: x\n")
    return open_run([str(storage / "run.yaml"), "--storage", str(storage), "--clicks.depth", "5", *map(str, overrides)])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    storage = tmp_path_factory.mktemp("recorded")
    record_traffic(Folder(storage), {"head": 12_000, "middle": 300, "Tail": 4})
    return storage


@pytest.mark.parametrize("method", ["harvest", "em"])
def test_estimates_are_those_of_the_simulated_users(method, recorded, capsys):
    run = opened(recorded, "--clicks.method", method)
    job.main(run)
    folder = run.folder / "clicks"
    rows = {row.query: row for row in folder.read_rows(QueryClicks)}
    assert {query: row.exposures for query, row in rows.items()} == {"head": 12_000, "middle": 300, "tail": 4}
    relevance = {document.doc_id: document.relevance for document in rows["head"].documents}
    assert relevance == pytest.approx({"d0": 0.6, "d1": 0.4, "d2": 0.2, "d3": 0.1}, rel=0.1)
    assert [document.shown for document in rows["head"].documents] == [12_000] * 4
    assert rows["tail"].documents == []  # 4 exposures are less than clicks.min_examined
    assert {document.doc_id for document in rows["middle"].documents} == {"d0", "d1", "d2", "d3"}
    report = json.loads(folder.read_text(job.REPORT))
    assert [row["propensity"] for row in report["positions"][:4]] == pytest.approx(PROPENSITIES, rel=0.1)
    assert report["positions"][0]["shown"] == report["exposures"] == 12_304
    assert report["positions"][0][method] == report["positions"][0]["propensity"] == 1.0
    assert (report["queries"], report["queries_with_estimates"], report["estimates"]) == (3, 2, 8)
    assert manifest_of(folder).rows_out == 3
    output = capsys.readouterr().out
    assert "12,304 exposures" in output
    assert "harvest" in output


def test_job_is_skipped_until_more_is_recorded(tmp_path, capsys):
    record_traffic(Folder(tmp_path), {"q": 600})
    job.main(opened(tmp_path))
    capsys.readouterr()
    job.main(opened(tmp_path))
    assert "1 rows, unchanged, skipped" in capsys.readouterr().out
    place = Folder(tmp_path) / SERVING
    (place / EXPOSURES).write_rows("part-3.parquet", [exposure(9999, "r", ["d0", "d1"])])
    run = opened(tmp_path)
    job.main(run)
    assert {row.query for row in (run.folder / "clicks").read_rows(QueryClicks)} == {"q", "r"}


def test_position_that_cannot_be_compared_is_a_warning(tmp_path, capsys):
    record_traffic(Folder(tmp_path), {"q": 600})
    place = Folder(tmp_path) / SERVING
    (place / EXPOSURES).write_rows("part-3.parquet", [exposure(9999, "q", ["d0", "d1", "d2", "d3", "d4"])])
    job.main(opened(tmp_path))
    assert "no propensity for position 5: no clicked documents connect it with position 1" in capsys.readouterr().out


def test_missing_records_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no exposures recorded; set serving\.record\.exposures"):
        job.main(opened(tmp_path))
    place = Folder(tmp_path) / SERVING
    (place / EXPOSURES).write_rows("part-1.parquet", [exposure(1, "q", ["a", "b"])])
    with pytest.raises(InputError, match=r"no exposures of experiments 'none'; change clicks\.experiments"):
        job.main(opened(tmp_path, "--clicks.experiments", '["none"]'))


def test_too_few_clicks_are_one_line_and_keep_earlier_estimates(tmp_path):
    place = Folder(tmp_path) / SERVING
    shown = [exposure(1, "q", ["a", "b"]), exposure(2, "q", ["b", "a"])]
    (place / EXPOSURES).write_rows("part-1.parquet", shown)
    (place / FEEDBACK).write_rows("part-1.parquet", [click(1, 1), click(2, 2)])
    job.main(opened(tmp_path, "--clicks.min_clicks", "2"))
    before = manifest_of(Folder(tmp_path) / "x" / "clicks")
    with pytest.raises(InputError, match=r"2 clicks on documents that were shown at several positions .* needs 100"):
        job.main(opened(tmp_path))
    assert manifest_of(Folder(tmp_path) / "x" / "clicks") == before


def test_user_behavior_insights_are_a_second_source(tmp_path):
    (tmp_path / "queries.jsonl").write_text(
        "".join(
            json.dumps(
                {"query_id": f"s{n}", "user_query": "Boots", "query_response_hit_ids": ["a", "b"][:: 1 - n % 2 * 2]}
            )
            + "\n"
            for n in range(40)
        )
    )
    clicks = (
        [("a", n) for n in range(0, 40, 2)] + [("b", n) for n in range(1, 40, 4)] + [("a", n) for n in range(1, 20, 2)]
    )
    attributes = {doc_id: {"object": {"object_id": doc_id}} for doc_id in "ab"}
    (tmp_path / "events.jsonl").write_text(
        "".join(
            json.dumps({"query_id": f"s{n}", "action_name": "click", "event_attributes": attributes[doc_id]}) + "\n"
            for doc_id, n in clicks
        )
    )
    sources = ["--clicks.ubi_queries", tmp_path / "queries.jsonl", "--clicks.ubi_events", tmp_path / "events.jsonl"]
    run = opened(tmp_path, *sources, "--clicks.min_clicks", "10")
    job.main(run)
    (row,) = (run.folder / "clicks").read_rows(QueryClicks)
    assert (row.query, row.exposures) == ("boots", 40)
    assert [(document.doc_id, document.clicks) for document in row.documents] == [("a", 30), ("b", 10)]
    before = run.plan.clicks.fingerprint
    (tmp_path / "queries.jsonl").write_text("{}\n")
    again = opened(tmp_path, *sources, "--clicks.min_clicks", "10")
    assert again.plan.clicks.fingerprint != before
    with pytest.raises(
        InputError, match=r"ubi_queries .*: no search has query_id, user_query and query_response_hit_ids"
    ):
        job.main(again)
