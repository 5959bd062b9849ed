"""Read plain or gzipped text files line by line, with error messages that name the file and the line.

Files are UTF-8, with or without a byte order mark. Lines end with LF, CR LF or, in a file without any LF, CR. A CR
within a line is part of its text. Gzipped files are recognised by their content, whatever their name is.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from ranking.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = "\ufeff"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of each line that is not blank. Raises InputError if the file cannot be read."""
    return ((line, text) for line, text in _decoded_lines(path) if text.strip())


def read_text(path: Path) -> str:
    """Return the text of a file, with LF as line end. Raises InputError if the file cannot be read."""
    return "\n".join(text for _, text in _decoded_lines(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a plain or gzipped file. Raises InputError if the file cannot be read."""
    with _opened(path) as stream:
        return stream.read()


def find_file(path: Path) -> Path | None:
    """Return a path, or the path of its gzipped version (name + ".gz"). Return None if neither is a file."""
    return next((found for found in (path, path.with_name(f"{path.name}.gz")) if found.is_file()), None)


def suffix_of(path: Path) -> str:
    """Return the suffix of a file name, ignoring a final `.gz`, for example `.jsonl` of `run.jsonl.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file as a hexadecimal string."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a plain or gzipped file. Raises InputError for errors of opening and reading it."""
    try:
        with path.open("rb") as stream:
            if path.suffix == ".gz" or stream.peek(2)[:2] == _GZIP_MAGIC:
                yield io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=stream)))
            else:
                yield stream
    except gzip.BadGzipFile:
        raise InputError(f"{path}: not a gzip file, although its name ends in .gz") from None
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror})") from None
    except (EOFError, zlib.error):
        raise InputError(f"{path}: the gzip file is truncated or damaged") from None


def _decoded_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text without line end) of each line."""
    with _opened(path) as stream:
        for line, content in enumerate(_raw_lines(stream), start=1):
            text = _decoded(content)
            if text is None or (line == 1 and "\0" in text):
                encoding = ", perhaps UTF-16" if line == 1 and b"\0" in content else ""
                raise InputError(f"{path}, line {line}: not UTF-8 text{encoding}; convert the file to UTF-8")
            # Concatenated files have a byte order mark at the start of a later line.
            yield line, text.rstrip("\r\n").removeprefix(_BYTE_ORDER_MARK)


def _decoded(content: bytes) -> str | None:
    """Decode UTF-8. Returns None if the bytes are not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _raw_lines(stream: io.BufferedReader) -> Iterable[bytes]:
    """Yield the lines of a file. Splits at CR if the file has no LF."""
    first = stream.readline()
    if not first.endswith(b"\n"):
        yield from first.removesuffix(b"\r").split(b"\r")
        return
    yield first
    yield from stream
