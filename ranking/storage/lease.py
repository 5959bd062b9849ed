"""A lease on a run's folder. It lets only one job at a time work in the folder, and expires soon after that job dies.

<run>/lease.json    {"holder", "host", "process", "job", "beat"}

The job that owns the lease rewrites the file every few seconds (a heartbeat). Another job that wants the lease watches
the file: if it does not change for a full term, the owner is gone and the lease is taken over; if it changes, the owner
is still running. Clocks of different machines are never compared.
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
"""Seconds without a heartbeat after which a lease expires."""

_BEATS_PER_TERM = 4


class Lease(BaseModel):
    """The content of lease.json.

    Attributes:
        holder: Unique id of this lease; None once it was released.
        host: Host name, boot id and PID namespace of the owner.
        process: Process id of the owner.
        job: Description of the job, for messages.
        beat: Heartbeat counter.
    """

    model_config = ConfigDict(extra="forbid")

    holder: str | None
    host: str
    process: int
    job: str
    beat: int = 0


@contextmanager
def leased(
    folder: Folder, job: str, on_lost: Callable[[], None], on_wait: Callable[[str], None], term: float = TERM
) -> Iterator[None]:
    """Own the lease on a folder while the block runs. A no-op on storage without compare-and-swap.

    Args:
        folder: Folder to own.
        job: Description of the job, shown to other jobs.
        on_lost: Called if another process takes over the lease because this one stalled past its term.
        on_wait: Called with a message if acquiring the lease takes a while.
        term: Seconds without a heartbeat after which a lease expires.

    Raises:
        InputError: Another job is running in the folder.
    """
    if not folder.is_local and not folder.uri.startswith("s3://"):
        yield
        return
    pointer = Pointer(folder, NAME)
    lease = _acquire(pointer, job, on_wait, term)
    stopped = threading.Event()
    heartbeat = threading.Thread(target=_beat, args=(pointer, lease, stopped, on_lost, term), name="lease", daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        stopped.set()
        heartbeat.join()
        _release(pointer, lease)


def _acquire(pointer: Pointer, job: str, on_wait: Callable[[str], None], term: float) -> Lease:
    """Wait until the lease is free (never taken, released or expired), then take it.

    Raises:
        InputError: The owner of the lease is still running.
    """
    mine = Lease(holder=uuid.uuid4().hex, host=_this_host(), process=os.getpid(), job=job)
    current = pointer.read()
    unchanged_since = time.monotonic()
    announced = False
    while True:
        other = _parse(current)
        if other is None or other.holder is None or _is_gone(other) or time.monotonic() - unchanged_since > term:
            try:
                pointer.swap(current, mine.model_dump_json())
            except PointerConflictError:
                current, unchanged_since = pointer.read(), time.monotonic()
                continue
            return mine
        if not announced:
            on_wait(f"waiting up to {term:.0f} s to check whether {other.job} on {other.host} is still running")
            announced = True
        time.sleep(term / _BEATS_PER_TERM / 4)
        latest = pointer.read()
        if latest.text != current.text:
            owner = _parse(latest)
            if owner is not None and owner.holder is not None:
                raise InputError(
                    f"{pointer.folder.uri}: {owner.job} is running here (process {owner.process} on {owner.host}); "
                    "wait until it ends, or give this run another name with --run"
                )
            current, unchanged_since = latest, time.monotonic()


def _beat(pointer: Pointer, lease: Lease, stopped: threading.Event, on_lost: Callable[[], None], term: float) -> None:
    """Send heartbeats until stopped or until the lease is lost."""
    while not stopped.wait(term / _BEATS_PER_TERM):
        try:
            current = pointer.read()
            if not _is_owned(current, lease):
                raise PointerConflictError
            lease.beat += 1
            pointer.swap(current, lease.model_dump_json())
        except PointerConflictError:
            if not stopped.is_set():
                on_lost()
            return
        except Exception:  # storage errors may be temporary: retry at the next heartbeat
            continue


def _release(pointer: Pointer, lease: Lease) -> None:
    """Release the lease if this process still owns it."""
    try:
        current = pointer.read()
        if _is_owned(current, lease):
            pointer.swap(current, lease.model_copy(update={"holder": None}).model_dump_json())
    except Exception:  # an unreleased lease expires by itself
        return


def _is_owned(content: PointerContent, lease: Lease) -> bool:
    """Return whether lease.json still belongs to this lease."""
    other = _parse(content)
    return other is not None and other.holder == lease.holder


def _parse(content: PointerContent) -> Lease | None:
    """Parse lease.json; None if it is missing or invalid."""
    try:
        return None if content.text is None else Lease.model_validate_json(content.text)
    except ValidationError:
        return None


def _this_host() -> str:
    """Return an id of the set of process ids that this process can see: host name, boot id and PID namespace.

    Containers on one machine can share its host name and boot id, but the same process id is another process in each.
    """
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()}/{boot.read_text().strip()[:8] if boot.exists() else ''}/{_pid_namespace()}"


def _pid_namespace() -> str:
    """Return the inode number of this process's PID namespace. Empty on systems without PID namespaces."""
    try:
        return "".join(filter(str.isdigit, str(Path("/proc/self/ns/pid").readlink())))
    except OSError:
        return ""


def _is_gone(other: Lease) -> bool:
    """Return whether the process that owns a lease ran in this PID namespace of this machine and has ended."""
    if other.host != _this_host():
        return False
    try:
        os.kill(other.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
