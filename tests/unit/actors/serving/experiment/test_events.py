"""Durability of the event log: no row is lost, and files have a bounded size."""

import fcntl
import signal
import subprocess
import sys
import time

import pytest

from ranking.errors import InputError
from ranking.storage.folder import Folder
from tests.testing.event_log import event, open_log
from tests.testing.facts import ROOT
from tests.testing.small_disk import fill, small_disk


def ids(folder):
    return sorted(int(value) for value in Folder(folder).read_column("event_id"))


def test_full_journals_become_files_of_bounded_size(tmp_path):
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


def test_rows_are_written_after_flush_seconds(tmp_path):
    log = open_log(tmp_path, flush_seconds=0.1)
    log.append(event(1))
    deadline = time.monotonic() + 10
    while not Folder(tmp_path / "storage").names(".parquet") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ids(tmp_path / "storage") == [1]


APPEND_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from tests.testing.event_log import event, open_log
log = open_log(Path(sys.argv[1]), max_rows_per_file=1000)
for number in range(100_000):
    log.append(event(number))
    print(number, flush=True)
"""


def test_rows_of_a_killed_process_are_stored_by_the_next_one(tmp_path):
    killed = subprocess.Popen(
        [sys.executable, "-c", APPEND_UNTIL_KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    last_printed = -1
    for line in killed.stdout:
        last_printed = int(line)
        if last_printed >= 1500:
            break
    killed.send_signal(signal.SIGKILL)
    rest = killed.stdout.read().split()
    killed.wait()
    last_printed = int(rest[-1]) if rest else last_printed
    open_log(tmp_path)
    stored = ids(tmp_path / "storage")
    assert set(stored) >= set(range(last_printed + 1))
    assert len(set(stored)) == len(stored)


def test_recovery_skips_locked_journals_and_incomplete_lines(tmp_path):
    owner = open_log(tmp_path)
    owner.append(event(1))
    open_log(tmp_path)
    assert not Folder(tmp_path / "storage").exists()
    (tmp_path / "journals" / "1-incomplete.journal").write_text(
        event(2).model_dump_json() + "\n" + event(3).model_dump_json()[:20]
    )
    open_log(tmp_path)
    assert ids(tmp_path / "storage") == [2]


def test_failing_storage_loses_no_rows(tmp_path, monkeypatch):
    log = open_log(tmp_path, flush_seconds=0.1)
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


def test_recovery_does_not_store_a_journal_that_is_being_opened(tmp_path, monkeypatch):
    other, real = open_log(tmp_path), fcntl.flock

    def recover_before_lock(stream, operation):
        if operation & fcntl.LOCK_EX and stream.mode == "w":
            other._recover()  # runs after the journal is opened and before it is locked
        real(stream, operation)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", recover_before_lock)
        log = open_log(tmp_path)
        log.append(event(1))
    log.flush()
    assert ids(tmp_path / "storage") == [1]


def test_failed_writes_are_retried_under_constant_load(tmp_path, monkeypatch):
    real, rejected = Folder.write_rows, []

    def write_rows(folder, name, rows):
        if len(rejected) < 3:
            rejected.append(name)
            raise OSError("no answer")
        real(folder, name, rows)

    monkeypatch.setattr(Folder, "write_rows", write_rows)
    log = open_log(tmp_path, max_rows_per_file=1, flush_seconds=0.3)
    deadline = time.monotonic() + 15
    number = 0
    while time.monotonic() < deadline and (len(rejected) < 3 or len(ids(tmp_path / "storage")) < number):
        log.append(event(number))
        number += 1
        time.sleep(0.02)
        if number > 10 and len(rejected) == 3 and ids(tmp_path / "storage")[:3] == [0, 1, 2]:
            break
    assert ids(tmp_path / "storage")[:3] == [0, 1, 2]


def test_rows_of_another_version_do_not_keep_a_journal_out_of_storage(tmp_path, caplog):
    counted = []
    open_log(tmp_path).append(event(1))
    unknown_field = event(2).model_dump_json()[:-1] + ', "secret": "text of a document"}'
    orphan = tmp_path / "journals" / "1-orphan.journal"
    orphan.write_text(f"{unknown_field}\n{event(3).model_dump_json()}\n[]\n")
    open_log(tmp_path, on_skipped_rows=counted.append).flush()
    assert 3 in ids(tmp_path / "storage")
    assert 2 not in ids(tmp_path / "storage")
    assert counted == [2]
    assert "2 rows of" in caplog.text
    assert "text of a document" not in caplog.text
    assert not orphan.exists()
    assert orphan.with_suffix(".skipped").read_text().startswith(unknown_field)


def test_journals_are_readable_by_their_owner_only(tmp_path):
    open_log(tmp_path).append(event(1))
    (journal,) = (tmp_path / "journals").glob("*.journal")
    assert [path.stat().st_mode & 0o777 for path in (journal.parent, journal)] == [0o700, 0o600]


def test_a_journal_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / "journals").mkdir()
    monkeypatch.setattr("actors.serving.experiment.events.os.geteuid", lambda: 12345)
    with pytest.raises(InputError, match="this journal folder belongs to another user; set RRADISTILL_JOURNALS"):
        open_log(tmp_path)


def test_a_link_instead_of_the_journal_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "journals").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="this journal folder"):
        open_log(tmp_path)


def test_full_disk_keeps_a_row_out_of_the_journal_whole(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        log = open_log(disk, max_rows_per_file=1000)
        log.append(event(0))
        ballast = fill(disk)
        rejected = []
        for number in range(1, 60):  # the last page of the journal has room for some of them
            try:
                log.append(event(number))
            except OSError as error:
                rejected.append(str(error))
        (journal,) = (disk / "journals").glob("*.journal")
        assert journal.read_text().endswith("}\n")
        ballast.unlink()
        log.append(event(100))
        log.flush()
        stored = ids(disk / "storage")
        assert (stored[0], stored[-1]) == (0, 100)
        assert len(rejected) > 5
        assert len(stored) == 61 - len(rejected)
        assert all(f"No space left on device: '{journal}'" in message for message in rejected)


def test_full_storage_keeps_rows_in_the_journal(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        log = open_log(tmp_path, storage=disk)
        log.append(event(1))
        ballast = fill(disk)
        with pytest.raises(OSError, match=f"No space left on device: '{disk / 'storage'}/part-"):
            log.flush()
        assert list((disk / "storage").iterdir()) == []
        ballast.unlink()
        log._recover()  # as its thread does every `flush_seconds`
        assert ids(disk / "storage") == [1]
