"""Local access to input files and folders that are given by path or URI. URIs are downloaded."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from ranking.errors import InputError
from ranking.storage.folder import Folder


@contextlib.contextmanager
def fetched(location: str) -> Iterator[Path]:
    """Yield a local path to a file or folder. URIs are downloaded once per process.

    An InputError raised inside the block is re-raised with the URI in place of the local path.

    Raises:
        InputError: The URI cannot be read.
    """
    if "://" not in location:
        yield Path(location)
        return
    copy = next(Path(_downloaded(location).name).iterdir())
    try:
        yield copy
    except InputError as error:
        raise InputError(str(error).replace(str(copy), location.rstrip("/"))) from None


@functools.cache
def _downloaded(location: str) -> tempfile.TemporaryDirectory[str]:
    """Download a file or folder into a temporary folder, keeping its name."""
    source = Folder(location)
    source.check_reachable()
    try:
        if not source.exists():
            raise InputError(f"{location}: no such file or folder")
        local = tempfile.TemporaryDirectory()
        copy = Path(local.name) / source.path.rpartition("/")[2]
        if source.is_file():
            pafs.copy_files(
                source.path,
                str(copy),
                source_filesystem=source.filesystem,
                destination_filesystem=pafs.LocalFileSystem(),
            )
        else:
            source.copy_to(Folder(copy))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{location}: cannot read it ({' '.join(str(error).split())})") from None
    return local
