"""Input files and folders that a setting names by path or by URI, as local paths."""

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
def fetched(place: str) -> Iterator[Path]:
    """Yield a local path to a file or folder. What a URI names is downloaded once in the life of the process.

    Raises InputError where a URI cannot be read. An InputError raised inside names the URI, not the download.
    """
    if "://" not in place:
        yield Path(place)
        return
    copy = next(Path(_downloaded(place).name).iterdir())
    try:
        yield copy
    except InputError as error:
        raise InputError(str(error).replace(str(copy), place.rstrip("/"))) from None


@functools.cache
def _downloaded(place: str) -> tempfile.TemporaryDirectory[str]:
    """Download a file or folder into a temporary folder, under its own name."""
    source = Folder(place)
    source.check_reachable()
    try:
        if not source.exists():
            raise InputError(f"{place}: there is no such file or folder")
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
        raise InputError(f"{place}: cannot be read ({' '.join(str(error).split())})") from None
    return local
