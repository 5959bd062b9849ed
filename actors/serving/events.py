"""Rows that must not get lost: a local journal first, then parquet files of bounded size on storage.

A row counts once it is in the journal, which survives the process. A file on storage is written before its journal goes
away, so a crash between the two writes rows twice; whoever reads them folds rows of one id.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import IO, Generic, TypeVar

from ranking.records import Record
from ranking.storage.folder import Folder

R = TypeVar("R", bound=Record)
_log = logging.getLogger("ray.serve")
_JOURNAL = ".journal"
_OPENING = ".opening"


class EventLog(Generic[R]):
    """Appends rows of one kind. target: folder on storage. journals: a local folder, shared by the processes of a node."""

    def __init__(self, model: type[R], target: Folder, journals: Path, rows: int, seconds: float) -> None:
        self._model, self._target, self._journals = model, target, journals
        self._rows, self._seconds = rows, seconds
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._closed: list[tuple[IO[str], Path]] = []
        self._wake = threading.Event()
        journals.mkdir(parents=True, exist_ok=True)
        self._recover()
        self._open()
        threading.Thread(target=self._turn, name="events", daemon=True).start()

    def append(self, row: R) -> None:
        """Write a row to the journal. It is durable when this returns, unless the machine itself fails. Storage is not waited for."""
        line = row.model_dump_json() + "\n"
        with self._lock:
            self._journal.write(line)
            self._journal.flush()
            self._held += 1
            if self._held >= self._rows:
                self._close()
                self._wake.set()

    def flush(self) -> None:
        """Bring all rows to storage. Raises what storage raises; what it did not take stays in the journals."""
        with self._lock:
            if self._held:
                self._close()
        self._store_closed()

    def _store_closed(self) -> None:
        with self._storing:
            while self._closed:
                stream, path = self._closed.pop(0)
                try:
                    self._store(path)
                finally:
                    stream.close()

    def _close(self) -> None:
        """Begin another journal; the one before is to be stored."""
        self._closed.append((self._journal, self._path))
        self._open()

    def _open(self) -> None:
        self._path = self._journals / f"{time.time_ns()}-{uuid.uuid4().hex}{_JOURNAL}"
        unlocked = self._path.with_suffix(_OPENING)  # under its own name it could be taken for one that nobody holds
        self._journal: IO[str] = unlocked.open("w", encoding="utf-8")
        fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(self._path)
        self._held = 0

    def _store(self, path: Path) -> None:
        """Write a journal's rows to storage, and delete it."""
        rows = [self._model.model_validate_json(line) for line in _whole_lines(path)]
        if rows:
            self._target.write_rows(f"part-{path.name.removesuffix(_JOURNAL)}.parquet", rows)
        path.unlink(missing_ok=True)

    def _turn(self) -> None:
        flushed = time.monotonic()
        while True:
            self._wake.wait(max(0.0, flushed + self._seconds - time.monotonic()))
            self._wake.clear()
            try:
                if time.monotonic() - flushed < self._seconds:
                    self._store_closed()
                else:  # also where journals are full all the time
                    flushed = time.monotonic()
                    self.flush()
                    self._recover()
            except Exception as error:  # storage that does not answer now may later; the journals stay
                _log.error("rows wait in %s: %s", self._journals, error)

    def _recover(self) -> None:
        """Store the journals that nobody holds: those of processes that died, and those that storage did not take."""
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
                _log.error("rows wait in %s: %s", path, error)


def _whole_lines(path: Path) -> list[str]:
    """The lines of a journal that were written to their end."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        try:
            json.loads(line)
        except ValueError:
            continue
        found.append(line)
    return found


def local_journals(storage: Folder) -> Path:
    """Where a node keeps the journals of a storage root."""
    name = hashlib.sha256(storage.uri.encode("utf-8")).hexdigest()[:16]
    return Path(os.environ.get("RRADISTILL_JOURNALS", tempfile.gettempdir())) / f"rradistill-journal-{name}"
