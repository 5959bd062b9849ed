"""Durable event log: rows go to a local journal first, then to Parquet files of limited size on storage.

A row is durable once it is in the journal, which survives a crash of the process. The journal is deleted after its rows
are on storage, so after a crash between the two steps the rows are written twice. Readers must deduplicate rows by id.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from ranking.errors import InputError
from ranking.records import Record
from ranking.storage.folder import Folder
from ranking.storage.full_disk import full_disk_errors

R = TypeVar("R", bound=Record)
_log = logging.getLogger("ray.serve")
_JOURNAL = ".journal"
_OPENING = ".opening"
_SKIPPED = ".skipped"


class EventLog(Generic[R]):
    """An append-only log of rows of one record type."""

    def __init__(
        self,
        model: type[R],
        target: Folder,
        journals: Path,
        max_rows_per_file: int,
        flush_seconds: float,
        on_skipped_rows: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Write the journals that earlier processes left behind to storage, and open a new journal.

        Args:
            model: Type of the rows.
            target: Folder on storage for the parquet files.
            journals: Local folder for the journals, shared by the processes of a node.
            max_rows_per_file: Maximum number of rows in a Parquet file.
            flush_seconds: Seconds between writes to storage.
            on_skipped_rows: Called with the number of rows that could not be read from a journal.

        Raises:
            InputError: The journal folder belongs to another user.
        """
        self._model, self._target, self._journals = model, target, journals
        self._max_rows, self._flush_seconds = max_rows_per_file, flush_seconds
        self._on_skipped_rows = on_skipped_rows
        self._lock = threading.Lock()
        self._store_lock = threading.Lock()
        self._closed: list[tuple[FileIO, Path]] = []
        self._wake = threading.Event()
        _make_private(journals.parent)
        _make_private(journals)
        self._recover()
        self._open()
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def append(self, row: R) -> None:
        """Write a row to the journal, without waiting for storage.

        When this returns, the row survives a crash of the process, but not a failure of the machine.

        Raises:
            OSError: The journal cannot be written, for example because the disk is full. It does not get the row.
        """
        line = (row.model_dump_json() + "\n").encode("utf-8")
        with self._lock, full_disk_errors(str(self._path)):
            _append_whole(self._journal, line)
            self._rows += 1
            if self._rows >= self._max_rows:
                self._rotate()
                self._wake.set()

    def flush(self) -> None:
        """Write all rows to storage. If storage raises an error, the remaining rows stay in the journals."""
        with self._lock:
            if self._rows:
                self._rotate()
        self._store_closed()

    def _store_closed(self) -> None:
        with self._store_lock:
            while self._closed:
                stream, path = self._closed.pop(0)
                try:
                    self._store(path)
                finally:
                    stream.close()

    def _rotate(self) -> None:
        """Open another journal and queue the current one for storage."""
        closed = (self._journal, self._path)
        self._open()
        self._closed.append(closed)

    def _open(self) -> None:
        path = self._journals / f"{time.time_ns()}-{uuid.uuid4().hex}{_JOURNAL}"
        unlocked = path.with_suffix(_OPENING)  # _recover() assumes that unlocked journals are of dead processes
        descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        journal = os.fdopen(descriptor, "wb", buffering=0)
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(path)
        self._journal, self._path, self._rows = journal, path, 0

    def _store(self, path: Path) -> None:
        """Write the rows of a journal to storage, then delete the journal.

        Rows that do not fit the record, for example after an upgrade or a rollback, do not keep the others out. A
        journal that has such rows is renamed instead of deleted.
        """
        rows, skipped = _read_rows(self._model, path)
        if rows:
            self._target.write_rows(f"part-{path.name.removesuffix(_JOURNAL)}.parquet", rows)
        if not skipped:
            path.unlink(missing_ok=True)
            return
        aside = path.with_suffix(_SKIPPED)
        path.rename(aside)
        self._on_skipped_rows(len(skipped))
        _log.error(
            "%d rows of %s could not be read and stay in that file, the first is line %d",
            len(skipped),
            aside,
            skipped[0],
        )

    def _run(self) -> None:
        flushed = time.monotonic()
        while True:
            self._wake.wait(max(0.0, flushed + self._flush_seconds - time.monotonic()))
            self._wake.clear()
            try:
                if time.monotonic() - flushed < self._flush_seconds:
                    self._store_closed()
                else:  # decided by the clock, because full journals may set _wake all the time
                    flushed = time.monotonic()
                    self.flush()
                    self._recover()
            except Exception as error:  # storage may be unavailable for a while; the journals are stored later
                _log.error("cannot write events to storage, keeping them in %s: %s", self._journals, error)

    def _recover(self) -> None:
        """Store the unlocked journals: those of dead processes, and those that could not be stored before."""
        for path in sorted(self._journals.glob(f"*{_JOURNAL}")):
            try:
                with path.open("a", encoding="utf-8") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if path.exists():
                        self._store(path)
            except BlockingIOError:
                continue
            except FileNotFoundError:
                continue
            except Exception as error:
                _log.error("cannot write events to storage, keeping them in %s: %s", path, error)


def _append_whole(journal: FileIO, line: bytes) -> None:
    """Append a line to a journal. If that fails, for example on a full disk, the journal has no part of the line."""
    size = os.fstat(journal.fileno()).st_size
    try:
        written = 0
        while written < len(line):
            written += journal.write(line[written:])
    except OSError:
        journal.truncate(size)
        raise


def _read_rows(model: type[R], path: Path) -> tuple[list[R], list[int]]:
    """Read the complete lines of a journal. A crash may leave an incomplete last line, which is ignored.

    Returns:
        The rows, and the numbers of the lines that are no rows, from 1.
    """
    rows, skipped = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1], start=1):
        try:
            rows.append(model.model_validate_json(line))
        except ValidationError:
            skipped.append(number)
    return rows, skipped


def _make_private(folder: Path) -> None:
    """Create a folder that only this user can read and write.

    Raises:
        InputError: The folder exists and belongs to another user, who could plant rows in it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise InputError(
            f"{folder}: this journal folder belongs to another user; set RRADISTILL_JOURNALS to another folder"
        )
    folder.chmod(0o700)


def local_journals(storage: Folder) -> Path:
    """Return a node's local journal folder for a storage root.

    It is in the folder that the environment variable RRADISTILL_JOURNALS names, by default the system's folder for
    temporary files.
    """
    name = hashlib.sha256(storage.uri.encode("utf-8")).hexdigest()[:16]
    return Path(os.environ.get("RRADISTILL_JOURNALS", tempfile.gettempdir())) / f"rradistill-journal-{name}"
