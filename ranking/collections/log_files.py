"""Find the files of a query log and divide them into splits that workers read in parallel.

The log is given as a file, a folder or a glob, by path or URI.
"""

from __future__ import annotations

import codecs
import functools
import gzip
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq

from ranking.collections.log_formats import FORMATS
from ranking.collections.log_layout import LogLayout
from ranking.errors import InputError
from ranking.storage.folder import Folder

ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".tsv", ".txt", ".csv")
COMPRESSED = ".gz"
_GLOB = frozenset("*?[")
_SPLIT_BYTES = 16 * 2**20
_READ_BYTES = 2**20
_COMPRESSION_RATIO = 8
_WHOLE_FILE = (0, 2**62)


@dataclass(frozen=True)
class LogFile:
    """A file of the query log.

    Attributes:
        root: URI of the folder or file that `find_log` searched. It determines the filesystem.
        path: Path of the file in that filesystem.
        size: Size in bytes.
        changed: Modification time in nanoseconds since the epoch.
    """

    root: str
    path: str
    size: int
    changed: int

    @property
    def ending(self) -> str:
        """The extension of the file, one of `ENDINGS`."""
        name = self.path.lower().removesuffix(COMPRESSED)
        return next(ending for ending in ENDINGS if name.endswith(ending))

    @property
    def is_compressed(self) -> bool:
        """Whether the file is compressed with gzip."""
        return self.path.lower().endswith(COMPRESSED)

    @property
    def text_size(self) -> int:
        """Estimated size in bytes without compression."""
        return self.size * _COMPRESSION_RATIO if self.is_compressed else self.size


@dataclass(frozen=True)
class FileSplit:
    """A part of a file that one worker reads.

    Attributes:
        root: As in `LogFile`.
        path: As in `LogFile`.
        ending: Extension of the file.
        start: Start of the split: a byte offset in a .tsv or .jsonl file, the index of a row group in a .parquet file.
            A .csv, compressed or UTF-16 file is a single split.
        stop: End of the split, exclusive, in the same unit as `start`.
    """

    root: str
    path: str
    ending: str
    start: int
    stop: int


def find_log(place: str, setting: str = "queries.log") -> list[LogFile]:
    """List the files of a query log, sorted by path. Ignores files whose names begin with `_` or `.`.

    Args:
        place: Path or URI of a file, a folder, or a glob without `**`.
        setting: Name of the setting, for error messages.

    Raises:
        InputError: No file was found, or the extension of a file is not one of `ENDINGS`, with or without .gz for text
            files.
    """
    root, pattern = _without_glob(place)
    folder = Folder(root)
    folder.check_reachable()
    try:
        infos = [folder.filesystem.get_file_info(folder.path)]
        if infos[0].type == pafs.FileType.Directory:
            infos = folder.filesystem.get_file_info(pafs.FileSelector(folder.path, recursive=True))
    except OSError as error:
        raise InputError(f"{setting} {place}: cannot read the log ({' '.join(str(error).split())})") from None
    files = [info for info in infos if info.type == pafs.FileType.File and not info.base_name.startswith(("_", "."))]
    if pattern:
        files = [info for info in files if _matches(info.path[len(folder.path) :].strip("/"), pattern)]
    if not files:
        raise InputError(f"{setting} {place}: no such file, or a folder without {', '.join(ENDINGS)} files")
    for info in files:
        if not _has_known_ending(info.path):
            raise InputError(
                f"{setting} {info.path}: the extension must be one of {', '.join(ENDINGS)}, and only text files may "
                "end in .gz; select files with a glob such as *.tsv"
            )
    files.sort(key=lambda info: info.path)
    return [LogFile(folder.uri, info.path, info.size, info.mtime_ns) for info in files]


def fingerprint_of_log(place: str) -> list[list[Any]]:
    """Return a fingerprint of a log, to detect changes since an earlier run.

    Local files are identified by their content, files in an object store by size and modification time.

    Returns:
        A list [name, size, content hash or modification time] for each file.
    """
    files = find_log(place)
    local = Folder(files[0].root).is_local
    return [[file.path.rpartition("/")[2], file.size, _content_hash(file) if local else file.changed] for file in files]


def splits_of(files: Sequence[LogFile], layouts: Sequence[LogLayout]) -> list[FileSplit]:
    """Divide files into splits of about 16 MiB, to let several workers read a large file.

    Does not divide .csv, compressed and UTF-16 files, nor files of a format in which one search can span several rows.
    """
    splits: list[FileSplit] = []
    for file, layout in zip(files, layouts, strict=True):
        if file.ending == ".parquet":
            bounds = [(0, 2**31)] if FORMATS[layout.format].search else list(_row_groups(file))
        elif _is_one_split(file, layout):
            bounds = [_WHOLE_FILE]
        else:
            bounds = [(start, min(start + _SPLIT_BYTES, file.size)) for start in range(0, file.size, _SPLIT_BYTES)]
        splits += [FileSplit(file.root, file.path, file.ending, start, stop) for start, stop in bounds]
    return splits


def open_log(split: FileSplit | LogFile) -> Any:
    """Open a file for random access, as a context manager."""
    return Folder(split.root).filesystem.open_input_file(split.path)


def text_stream(stream: Any, path: str) -> io.BufferedReader | io.BytesIO:
    """Return the text of an open file as a UTF-8 stream. Decompresses .gz files, and converts UTF-16 in memory.

    Raises:
        UnicodeDecodeError: The file begins with a byte order mark of UTF-16, but is not UTF-16.
    """
    raw = gzip.GzipFile(fileobj=stream) if path.lower().endswith(COMPRESSED) else stream
    text = io.BufferedReader(raw)
    if text.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return io.BytesIO(text.read().decode("utf-16").encode("utf-8"))
    return text


def _is_one_split(file: LogFile, layout: LogLayout) -> bool:
    return (
        file.ending == ".csv" or file.is_compressed or layout.encoding != "utf-8" or bool(FORMATS[layout.format].search)
    )


def _has_known_ending(path: str) -> bool:
    name = path.lower()
    return name.removesuffix(COMPRESSED).endswith(ENDINGS) and not name.endswith(f".parquet{COMPRESSED}")


def _row_groups(file: LogFile) -> Iterator[tuple[int, int]]:
    """Yield ranges [start, stop) of consecutive row groups. The row groups of a range have about 16 MiB in total."""
    try:
        with Folder(file.root).filesystem.open_input_file(file.path) as stream:
            metadata = pq.read_metadata(stream)
    except (OSError, ValueError) as error:
        raise InputError(f"{file.path}: cannot be read as a Parquet file ({' '.join(str(error).split())})") from None
    start = size = 0
    for group in range(metadata.num_row_groups):
        size += metadata.row_group(group).total_byte_size
        if size >= _SPLIT_BYTES:
            yield start, group + 1
            start, size = group + 1, 0
    if start < metadata.num_row_groups:
        yield start, metadata.num_row_groups


def _without_glob(place: str) -> tuple[str, str]:
    """Split a path into (folder, glob pattern). The pattern starts with the first component that has a wildcard.

    Without a wildcard, return the whole path and an empty pattern.
    """
    scheme, divider, path = place.rpartition("://")
    parts = path.split("/")
    plain = next((i for i, part in enumerate(parts) if _GLOB & set(part)), len(parts))
    root = "/".join(parts[:plain]) or ("/" if plain and not scheme else ".")
    return scheme + divider + root, "/".join(parts[plain:])


def _matches(path: str, pattern: str) -> bool:
    """Match a path against a glob pattern, one path component at a time. A `*` therefore does not match a slash."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


@functools.cache
def _content_hash(file: LogFile) -> str:
    """Return the SHA-256 digest of a file as a hexadecimal string.

    The process caches it. A file whose size or modification time has changed is hashed again.
    """
    digest = hashlib.sha256()
    with Folder(file.root).filesystem.open_input_file(file.path) as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
