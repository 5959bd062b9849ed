"""Read plain or gzipped text files line by line, with error messages that name the file."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from ranking.errors import InputError


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of each line that is not blank. Raises InputError if the file cannot be read."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            for line, text in enumerate(stream, start=1):
                if text.strip():
                    yield line, text.rstrip("\r\n")
    except gzip.BadGzipFile:
        raise InputError(f"{path}: not a gzip file, although its name ends in .gz") from None
    except OSError as error:
        raise InputError(f"{path}: the file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    except (EOFError, zlib.error):
        raise InputError(f"{path}: the gzip file is truncated or damaged") from None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file as a hexadecimal string."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
