"""The processes of one cluster, orphans too: all inherit a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

MARK = "RRADISTILL_MARK"
_LEAVE = 30.0


def marked(mark: str) -> list[psutil.Process]:
    """Every running process whose environment carries the mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def called(mark: str, part: str) -> list[psutil.Process]:
    """The marked processes whose title or command line holds a text."""
    found = []
    for process in marked(mark):
        with contextlib.suppress(psutil.Error):
            if part in " ".join(process.cmdline()):
                found.append(process)
    return found


def children_of(process: psutil.Process, deep: bool = False) -> list[psutil.Process]:
    """The children, deep: and theirs; none where the process is gone."""
    with contextlib.suppress(psutil.Error):
        return list(process.children(recursive=deep))
    return []


def kill(process: psutil.Process) -> None:
    """SIGKILL, as the kernel does when memory runs out or a machine goes."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


def ended(processes: list[psutil.Process], seconds: float = _LEAVE) -> list[psutil.Process]:
    """Wait for processes to end; returns those that did not."""
    wait_until(lambda: not any(_runs(process) for process in processes), seconds)
    return [process for process in processes if _runs(process)]


def wait_until(done: Callable[[], bool], seconds: float, every: float = 0.25) -> bool:
    """Wait for a condition; returns whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
