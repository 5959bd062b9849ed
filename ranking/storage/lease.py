"""A lease on a run's folder: one job at a time, and a job that died holds up nobody for long.

<run>/lease.json    {"holder", "host", "process", "job", "beat"}

Whoever holds it writes it anew every few seconds. Who comes later watches it: where it stays as it is for longer than the term,
its holder is gone, and it is taken over; where it changes, somebody is at work. No clock is compared with another's.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent

NAME = "lease.json"
TERM = 30.0
"""Seconds without a beat after which a lease is free."""

_BEATS_PER_TERM = 4


class Lease(BaseModel):
    """The content of lease.json. holder: of this lease alone; None once it was given back. beat: counts up."""

    model_config = ConfigDict(extra="forbid")

    holder: str | None
    host: str
    process: int
    job: str
    beat: int = 0


@contextmanager
def leased(
    folder: Folder, job: str, lost: Callable[[], None], waits: Callable[[str], None], term: float = TERM
) -> Iterator[None]:
    """Hold a folder's lease. job: in words, for others to read. lost: is called where it was taken away, as it is for a process that
    did nothing for longer than the term. waits: is told why it takes a while. No-op on storage that cannot compare and swap.

    Raises InputError where another job is at work.
    """
    if not folder.is_local and not folder.uri.startswith("s3://"):
        yield
        return
    pointer = Pointer(folder, NAME)
    lease = _taken(pointer, job, waits, term)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(pointer, lease, ended, lost, term), name="lease", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        _give_back(pointer, lease)


def _taken(pointer: Pointer, job: str, waits: Callable[[str], None], term: float) -> Lease:
    mine = Lease(holder=uuid.uuid4().hex, host=_here(), process=os.getpid(), job=job)
    held = pointer.read()
    watched = time.monotonic()
    told = False
    while True:
        other = _parsed(held)
        if other is None or other.holder is None or _is_gone(other) or time.monotonic() - watched > term:
            try:
                pointer.swap(held, mine.model_dump_json())
            except PointerConflictError:
                held, watched = pointer.read(), time.monotonic()
                continue
            return mine
        if not told:
            waits(f"waiting up to {term:.0f} s to see whether {other.job} on {other.host} is still at work")
            told = True
        time.sleep(term / _BEATS_PER_TERM / 4)
        now = pointer.read()
        if now.text != held.text:
            later = _parsed(now)
            if later is not None and later.holder is not None:
                raise InputError(
                    f"{pointer.folder.uri}: {later.job} is at work here, process {later.process} on {later.host}; "
                    "wait for its end, or give this run another name with --run"
                )
            held, watched = now, time.monotonic()


def _beat(pointer: Pointer, lease: Lease, ended: threading.Event, lost: Callable[[], None], term: float) -> None:
    while not ended.wait(term / _BEATS_PER_TERM):
        try:
            held = pointer.read()
            if not _is_of(held, lease):
                raise PointerConflictError
            lease.beat += 1
            pointer.swap(held, lease.model_dump_json())
        except PointerConflictError:
            if not ended.is_set():
                lost()
            return
        except Exception:  # storage that does not answer now may at the next beat
            continue


def _give_back(pointer: Pointer, lease: Lease) -> None:
    try:
        held = pointer.read()
        if _is_of(held, lease):
            pointer.swap(held, lease.model_copy(update={"holder": None}).model_dump_json())
    except Exception:  # then it runs out by itself
        return


def _is_of(held: PointerContent, lease: Lease) -> bool:
    other = _parsed(held)
    return other is not None and other.holder == lease.holder


def _parsed(held: PointerContent) -> Lease | None:
    try:
        return None if held.text is None else Lease.model_validate_json(held.text)
    except ValidationError:
        return None


def _here() -> str:
    """This machine until its next start."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip()[:8] if boot.exists() else ''}"


def _is_gone(other: Lease) -> bool:
    """Whether a lease's process was on this machine and ended."""
    if other.host != _here():
        return False
    try:
        os.kill(other.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
