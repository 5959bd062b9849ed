"""Rows outlive the process: a journal first, bounded files on storage after it, doubles only where a crash fell between."""

import fcntl
import signal
import subprocess
import sys
import time

from actors.serving.events import EventLog
from ranking.ab_test.exposure_records import FeedbackEvent
from ranking.storage.folder import Folder
from tests.testing.facts import ROOT


def event(number):
    return FeedbackEvent(event_id=str(number), exposure_id="e", at=0.0, kind="click", position=1)


def ids(folder):
    return sorted(int(value) for value in Folder(folder).read_column("event_id"))


def open_log(tmp_path, rows=10, seconds=1000.0):
    return EventLog(FeedbackEvent, Folder(tmp_path / "storage"), tmp_path / "journals", rows, seconds)


def test_rows_become_files_of_bounded_size(tmp_path):
    log = open_log(tmp_path)
    for number in range(25):
        log.append(event(number))
    folder = Folder(tmp_path / "storage")
    deadline = time.monotonic() + 10
    while len(folder.names(".parquet")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ids(tmp_path / "storage") == list(range(20))
    log.flush()
    log.flush()
    assert sorted(folder.count_rows(name) for name in folder.names(".parquet")) == [5, 10, 10]


def test_rows_are_written_after_some_time(tmp_path):
    log = open_log(tmp_path, seconds=0.1)
    log.append(event(1))
    deadline = time.monotonic() + 10
    while not Folder(tmp_path / "storage").names(".parquet") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ids(tmp_path / "storage") == [1]


KILLED = """
import sys, time
from pathlib import Path
from tests.unit.actors.serving.test_events import event, open_log
log = open_log(Path(sys.argv[1]), rows=1000)
for number in range(100_000):
    log.append(event(number))
    print(number, flush=True)
"""


def test_what_was_appended_before_a_kill_is_stored_by_the_next_process(tmp_path):
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    told = -1
    for line in killed.stdout:
        told = int(line)
        if told >= 1500:
            break
    killed.send_signal(signal.SIGKILL)
    rest = killed.stdout.read().split()
    killed.wait()
    told = int(rest[-1]) if rest else told
    open_log(tmp_path)
    found = ids(tmp_path / "storage")
    assert set(found) >= set(range(told + 1))
    assert len(set(found)) == len(found)


def test_a_journal_that_another_process_holds_is_left_alone_and_a_torn_line_is_not_read(tmp_path):
    holder = open_log(tmp_path)
    holder.append(event(1))
    open_log(tmp_path)
    assert not Folder(tmp_path / "storage").exists()
    (tmp_path / "journals" / "1-torn.journal").write_text(
        event(2).model_dump_json() + "\n" + event(3).model_dump_json()[:20]
    )
    open_log(tmp_path)
    assert ids(tmp_path / "storage") == [2]


def test_storage_that_fails_loses_nothing(tmp_path, monkeypatch):
    log = open_log(tmp_path, seconds=0.1)
    write, failures = Folder.write_rows, []

    def failing(self, name, rows):
        if len(failures) < 3:
            failures.append(name)
            raise OSError("no answer")
        write(self, name, rows)

    monkeypatch.setattr(Folder, "write_rows", failing)
    log.append(event(7))
    deadline = time.monotonic() + 20
    while not Folder(tmp_path / "storage").names(".parquet") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ids(tmp_path / "storage") == [7]
    assert len(failures) == 3


def test_a_journal_is_never_taken_for_a_dead_one_while_it_is_opened(tmp_path, monkeypatch):
    other, real = open_log(tmp_path), fcntl.flock

    def slow(stream, how):
        if how & fcntl.LOCK_EX and stream.mode == "w":
            other._recover()  # between the opening of the journal and its lock
        real(stream, how)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", slow)
        log = open_log(tmp_path)
        log.append(event(1))
    log.flush()
    assert ids(tmp_path / "storage") == [1]


def test_what_storage_did_not_take_is_tried_again_while_journals_are_full_all_the_time(tmp_path, monkeypatch):
    real, refused = Folder.write_rows, []

    def write_rows(folder, name, rows):
        if len(refused) < 3:
            refused.append(name)
            raise OSError("no answer")
        real(folder, name, rows)

    monkeypatch.setattr(Folder, "write_rows", write_rows)
    log = open_log(tmp_path, rows=1, seconds=0.3)
    deadline = time.monotonic() + 15
    number = 0
    while time.monotonic() < deadline and (len(refused) < 3 or len(ids(tmp_path / "storage")) < number):
        log.append(event(number))
        number += 1
        time.sleep(0.02)
        if number > 10 and len(refused) == 3 and ids(tmp_path / "storage")[:3] == [0, 1, 2]:
            break
    assert ids(tmp_path / "storage")[:3] == [0, 1, 2]
