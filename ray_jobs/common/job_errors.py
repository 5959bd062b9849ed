"""Print the error that ends a job, write its traceback, and exit."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from ranking.terminal_text import printable


def print_error(line: str) -> None:
    """Print an error, which may quote ids and values of the user's files. Control characters are shown as escapes."""
    print(printable(line), file=sys.stderr)


def exit_now(code: int) -> NoReturn:
    """Exit without waiting for threads. A thread that waits in Ray could end the process with another exit code."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def write_trace(folder: Path | None, print_fallback: bool) -> str:
    """Write the traceback of the current exception to the run's logs, `trace.txt`.

    Args:
        folder: Folder of the run's logs; None if the run could not be opened.
        print_fallback: Whether to print the traceback to stderr if it cannot be written.

    Returns:
        Path of the traceback's file; `above` if it was not written.
    """
    if folder is not None:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "trace.txt"
            path.write_text(traceback.format_exc(), encoding="utf-8")
            return str(path)
    if print_fallback:
        print_error(traceback.format_exc().rstrip())
    return "above"
