"""The job log has one JSON object per line, with run and stage."""

import json
import logging
import sys

from actors.data.rows import Outcome, table_of
from actors.data.sink import PartSink
from ranking.records import Query, Rejection
from ranking.runs.progress import Progress
from ranking.runs.stages import Stage
from ranking.selection.selection_settings import QuerySettings
from ranking.storage.folder import Folder
from ray_jobs.common.job_logs import JsonLines


def test_log_line_has_time_message_run_and_stage():
    progress = Progress(terminal=False)
    formatter = JsonLines("autumn", lambda: progress.current_stage)
    with progress.bar("labels", 3, "queries"):
        try:
            raise ValueError("näh")
        except ValueError:
            record = logging.LogRecord("ray.data", logging.WARNING, "f.py", 1, "lost %d\nof them", (3,), sys.exc_info())
    line = formatter.format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert {name: entry[name] for name in ("level", "logger", "run", "stage", "message")} == {
        "level": "WARNING",
        "logger": "ray.data",
        "run": "autumn",
        "stage": "labels",
        "message": "lost 3\nof them",
    }
    assert entry["at"].endswith("+00:00")
    assert "ValueError: näh" in entry["trace"]


def test_worker_logs_only_the_first_rejections_with_their_reasons(tmp_path, caplog):
    stage = Stage(Folder(tmp_path / "run"), "labels", QuerySettings().model_dump(), [])
    stage.begin()
    rejections = [
        Outcome(query_id=f"q{n}", rejection=Rejection(query_id=f"q{n}", stage="", reason="no usable answer: refused"))
        for n in range(50)
    ]
    with caplog.at_level(logging.WARNING, "rradistill"):
        PartSink(Query, {"log": stage})(table_of(rejections, Outcome[Query]))
    entries = [json.loads(record.message) for record in caplog.records]
    assert len(entries) == 20
    assert entries[3] == {
        "run": stage.run.uri,
        "stage": "labels",
        "query_id": "q3",
        "rejected": "no usable answer: refused",
    }
