"""Find and kill the processes of one cluster, including orphans. All inherit a mark in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

import psutil

MARK = "RRADISTILL_MARK"
_EXIT_SECONDS = 30.0


def processes_with_mark(mark: str) -> list[psutil.Process]:
    """Return the running processes whose environment contains the mark."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def find_processes(mark: str, text: str) -> list[psutil.Process]:
    """Return the marked processes with a text in their title or command line."""
    processes = []
    for process in processes_with_mark(mark):
        with contextlib.suppress(psutil.Error):
            if text in " ".join(process.cmdline()):
                processes.append(process)
    return processes


def children_of(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
    """Return the children of a process, or all its descendants; an empty list if the process is gone."""
    with contextlib.suppress(psutil.Error):
        return list(process.children(recursive=recursive))
    return []


def kill(process: psutil.Process) -> None:
    """Send SIGKILL, as the kernel does if memory runs out."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


def survivors(processes: list[psutil.Process], seconds: float = _EXIT_SECONDS) -> list[psutil.Process]:
    """Wait until processes end, and return those that still run after the time limit."""
    wait_until(lambda: not any(_runs(process) for process in processes), seconds)
    return [process for process in processes if _runs(process)]


def wait_until(done: Callable[[], bool], seconds: float, interval: float = 0.25) -> bool:
    """Wait for a condition.

    Args:
        done: The condition.
        seconds: Time limit.
        interval: Seconds between checks.

    Returns:
        Whether the condition became true within the time limit.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
