"""Write and read single Parquet files with checksums, so a changed bit is an error.

Pages have the checksums of the Parquet format (`write_page_checksum`). The format has none for the footer, which
describes columns, types and positions. `write` therefore puts 8 bytes between the last page and the footer: `RRFC` and
the CRC-32 of the footer. Other readers ignore them, because a footer is found from the end of the file. Files without
these checksums can be read as well.
"""

from __future__ import annotations

import zlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_MARK = b"RRFC"
_MAGIC = b"PAR1"
_FIRST_READ = 64 * 1024
"""Bytes read at the end of a file in the hope that they contain the footer. Fewer requests to an object store."""


class DamagedParquetError(ValueError):
    """A Parquet file is empty, truncated or changed."""


class _Sink:
    """A binary stream that passes data on, and withholds all data that follows after `withhold`.

    Args:
        stream: The stream that receives the data.
    """

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream, self._position = stream, 0
        self.withheld: bytearray | None = None

    def write(self, data: Any) -> int:
        """Pass data on, or withhold it."""
        if self.withheld is None:
            self._stream.write(data)
        else:
            self.withheld += data
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes so far, withheld ones included."""
        return self._position

    def flush(self) -> None:
        """Do nothing: the owner of the stream flushes it."""

    def readable(self) -> bool:
        """Return False."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False."""
        return False


def write(table: pa.Table, stream: Any, row_group_size: int) -> None:
    """Write a table as a Parquet file with checksums of its pages and its footer."""
    sink = _Sink(stream)
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), table.schema, write_page_checksum=True) as writer:
        writer.write_table(table, row_group_size=row_group_size)
        sink.withheld = bytearray()
    end = bytes(sink.withheld)
    start = len(end) - 8 - int.from_bytes(end[-8:-4], "little")
    stream.write(end[:start] + _MARK + zlib.crc32(end[start:-8]).to_bytes(4, "little") + end[start:])


def open_file(stream: Any) -> pq.ParquetFile:
    """Open a Parquet file for reading, and check its footer. Its pages are checked as they are read.

    Raises:
        DamagedParquetError: The file is empty, truncated or changed.
    """
    metadata = pq.read_metadata(pa.BufferReader(_MAGIC + _footer(stream)))
    return pq.ParquetFile(stream, metadata=metadata, pre_buffer=True, page_checksum_verification=True)


def _footer(stream: Any) -> bytes:
    """Read the footer with its length and the magic bytes behind it."""
    size = stream.size()
    if not size:
        raise DamagedParquetError("empty")
    end = _last_bytes(stream, size, _FIRST_READ)
    length = int.from_bytes(end[-8:-4], "little")
    if end[-4:] != _MAGIC or length + 12 > size:
        raise DamagedParquetError("truncated, or not a Parquet file")
    if length + 16 > len(end):
        end = _last_bytes(stream, size, length + 16)
    footer, mark = end[-8 - length :], end[-16 - length : -8 - length]
    if mark[:4] == _MARK and mark[4:] != zlib.crc32(footer[:-8]).to_bytes(4, "little"):
        raise DamagedParquetError("the checksum of its footer is wrong")
    return footer


def _last_bytes(stream: Any, size: int, count: int) -> bytes:
    """Read the last bytes of a file, or all if it has fewer."""
    stream.seek(max(0, size - count))
    return bytes(stream.read())
