"""Recognise errors of a full disk, and add the path that could not be written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_CODES = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def full_disk_errors(path: str) -> Iterator[None]:
    """Add a path to an error of a full disk in the `with` block. pyarrow's errors do not name the file.

    Args:
        path: Path or URI of what is written.

    Raises:
        OSError: The disk is full. Its text is `[Errno 28] No space left on device: '<path>'`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _CODES:
            raise
        raise OSError(error.errno, os.strerror(error.errno), path) from None


@contextlib.contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Delete a temporary file if the `with` block that writes it fails, because it would take space for nothing."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
