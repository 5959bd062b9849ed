"""The files of a query log: found by path, folder, glob or URI, named by content, divided into splits for workers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq

from ranking.errors import InputError
from ranking.storage.folder import Folder

ENDINGS = (".parquet", ".jsonl", ".tsv", ".csv")
_GLOB = frozenset("*?[")
_SPLIT_BYTES = 16 * 2**20
_READ_BYTES = 2**20


@dataclass(frozen=True)
class LogFile:
    """A file of the log. root: the folder or file that is opened; path: in its filesystem. size: bytes; changed: nanoseconds."""

    root: str
    path: str
    size: int
    changed: int

    @property
    def ending(self) -> str:
        return next(ending for ending in ENDINGS if self.path.endswith(ending))


@dataclass(frozen=True)
class FileSplit:
    """Part of a file: bytes [start, stop) of lines, row groups [start, stop) of parquet, or a whole csv file."""

    root: str
    path: str
    ending: str
    start: int
    stop: int


def find_log(place: str) -> list[LogFile]:
    """List the files of a log, sorted by path. place: a path or URI of a file, a folder, or a glob (without `**`).

    Files whose names begin with `_` or `.` are passed over. Raises InputError where nothing is there, or a
    file is none of .parquet, .jsonl, .tsv and .csv.
    """
    root, pattern = _without_glob(place)
    folder = Folder(root)
    folder.check_reachable()
    try:
        found = [folder.filesystem.get_file_info(folder.path)]
        if found[0].type == pafs.FileType.Directory:
            found = folder.filesystem.get_file_info(pafs.FileSelector(folder.path, recursive=True))
    except OSError as error:
        raise InputError(f"queries.log {place}: cannot be read ({' '.join(str(error).split())})") from None
    files = [info for info in found if info.type == pafs.FileType.File and not info.base_name.startswith(("_", "."))]
    if pattern:
        files = [info for info in files if _matches(info.path[len(folder.path) :].strip("/"), pattern)]
    if not files:
        raise InputError(f"queries.log {place}: there is no such file, or none of {', '.join(ENDINGS)} in it")
    for info in files:
        if not info.path.endswith(ENDINGS):
            raise InputError(
                f"queries.log {info.path}: the ending is none of {', '.join(ENDINGS)}; a glob such as *.tsv picks files"
            )
    files.sort(key=lambda info: info.path)
    return [LogFile(folder.uri, info.path, info.size, info.mtime_ns) for info in files]


def fingerprint_of_log(place: str) -> list[list[Any]]:
    """Name what a log holds: local files by their content, those of an object store by size and time of change."""
    files = find_log(place)
    local = Folder(files[0].root).is_local
    return [[file.path.rpartition("/")[2], file.size, _content_hash(file) if local else file.changed] for file in files]


def splits_of(files: Sequence[LogFile]) -> list[FileSplit]:
    """Divide files into splits of about 16 MiB, so that workers share a large file."""
    splits: list[FileSplit] = []
    for file in files:
        if file.ending == ".csv":
            bounds = [(0, file.size)]
        elif file.ending == ".parquet":
            bounds = list(_row_groups(file))
        else:
            bounds = [(start, min(start + _SPLIT_BYTES, file.size)) for start in range(0, file.size, _SPLIT_BYTES)]
        splits += [FileSplit(file.root, file.path, file.ending, start, stop) for start, stop in bounds]
    return splits


def open_log(split: FileSplit) -> Any:
    """Open the file of a split for reading at any place, as a context manager."""
    return Folder(split.root).filesystem.open_input_file(split.path)


def _row_groups(file: LogFile) -> Iterator[tuple[int, int]]:
    """Bounds of runs of row groups, each of about 16 MiB."""
    try:
        with Folder(file.root).filesystem.open_input_file(file.path) as stream:
            metadata = pq.read_metadata(stream)
    except (OSError, ValueError) as error:
        raise InputError(f"{file.path}: not a parquet file that can be read ({' '.join(str(error).split())})") from None
    start = size = 0
    for group in range(metadata.num_row_groups):
        size += metadata.row_group(group).total_byte_size
        if size >= _SPLIT_BYTES:
            yield start, group + 1
            start, size = group + 1, 0
    if start < metadata.num_row_groups:
        yield start, metadata.num_row_groups


def _without_glob(place: str) -> tuple[str, str]:
    """Divide a place into the folder before the first part with a wildcard, and the rest; the rest is empty without one."""
    scheme, divider, path = place.rpartition("://")
    parts = path.split("/")
    plain = next((i for i, part in enumerate(parts) if _GLOB & set(part)), len(parts))
    root = "/".join(parts[:plain]) or ("/" if plain and not scheme else ".")
    return scheme + divider + root, "/".join(parts[plain:])


def _matches(path: str, pattern: str) -> bool:
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


@functools.cache
def _content_hash(file: LogFile) -> str:
    """Hash a file's content, once in the life of the process unless it changes."""
    digest = hashlib.sha256()
    with Folder(file.root).filesystem.open_input_file(file.path) as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
