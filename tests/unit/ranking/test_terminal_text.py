"""Control characters of queries, documents and ids do not reach a terminal."""

import io
import json
import logging
import sys

import pytest
from rich.console import Console

from ranking.records import Candidate
from ranking.runs.progress import Progress
from ranking.terminal_text import printable, printable_json
from ray_jobs.common.job_logs import JsonLines
from ray_jobs.quickstart import side_by_side

CLIPBOARD = "\x1b]52;c;ZWNobw==\x07"
HOSTILE = f"\x1b[2J{CLIPBOARD}\x9b31m\u202eevil\u2066\x00\x7f\r\ud800"
SAFE_KEPT = "plain text, naïve, 日本語, 👍, tab\tnewline\n"


def unsafe(text):
    """Return the characters of a text that control a terminal or the direction of text."""
    return [char for char in text if not (char.isprintable() or char in "\n\t\u00ad")]


def terminal_output(show):
    """Return what a progress display writes to a terminal without colours."""
    file = io.StringIO()
    show(Progress(Console(file=file, width=200, highlight=False, soft_wrap=True), terminal=False))
    return file.getvalue()


def test_control_characters_become_visible_escapes():
    assert printable("a\x1b[31mb\x9bc\u202ed\ud800\x07") == r"a\x1b[31mb\x9bc\u202ed\ud800\x07"
    assert not unsafe(printable(HOSTILE))


def test_other_text_is_unchanged():
    assert printable(SAFE_KEPT) == SAFE_KEPT


def test_progress_lines_of_hostile_text_are_safe():
    assert not unsafe(terminal_output(lambda progress: progress.stage("query", HOSTILE)))


def test_notes_of_live_bars_are_safe_and_are_not_markup():
    file = io.StringIO()
    progress = Progress(Console(file=file, width=200, force_terminal=True, color_system=None), terminal=True)
    with progress.bar("labels", 2, "queries") as bar:
        bar.advance(1, f"[link=http://host]{CLIPBOARD}[/nothing]")
    assert "\x1b]" not in file.getvalue()
    assert r"\x1b]52;c" in file.getvalue()


@pytest.mark.parametrize("doc_id", [HOSTILE, "[link=http://host]d[/link]", "[/not-open]"])
def test_ids_in_the_table_of_the_quickstart_are_shown_as_text(doc_id):
    candidate = Candidate(doc_id=doc_id, title="", text="t", rank=1, score=1.0, retriever="bm25")
    shown = terminal_output(lambda progress: progress.console.print(side_by_side({"bm25": [candidate]}, {})))
    assert not unsafe(shown)
    assert printable(doc_id).split("\n")[0][:10] in shown


def test_log_lines_stay_json_without_control_characters():
    record = logging.LogRecord("ray.data", logging.WARNING, "f.py", 1, HOSTILE, (), None)
    line = JsonLines("run", lambda: None).format(record)
    assert not unsafe(line)
    assert json.loads(line)["message"] == HOSTILE
    assert json.loads(printable_json(json.dumps(SAFE_KEPT, ensure_ascii=False))) == SAFE_KEPT


def test_error_messages_of_jobs_are_safe(tmp_path, monkeypatch, capsys):
    from ray_jobs.common.run import job

    monkeypatch.setattr(sys, "argv", ["select"])
    with pytest.raises(SystemExit) as exit_:
        job(print, arguments=[f"{tmp_path}/{CLIPBOARD}.yaml"])
    assert exit_.value.code == 2
    printed = capsys.readouterr().err
    assert r"\x1b]52;c" in printed
    assert not unsafe(printed)
