"""Rows on the local disk, partitioned by a hash of their key, so that each partition fits into memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

_BUFFERED_ROWS = 50_000
_ROWS_PER_BUCKET = 50_000
_MAX_BUCKETS = 256


def bucket_count(rows: int) -> int:
    """Return the number of partitions for about this many rows."""
    return min(_MAX_BUCKETS, 1 + rows // _ROWS_PER_BUCKET)


class SpilledRows:
    """Writes rows to partitions, and reads them back one partition at a time. All rows of a key are in one partition.

    Args:
        folder: Local folder. Must exist.
        schema: Columns of the rows.
        buckets: Number of partitions.
    """

    def __init__(self, folder: Path, schema: pa.Schema, buckets: int) -> None:
        self.buckets = buckets
        self._folder, self._schema = folder, schema
        self._buffers: list[list[tuple[Any, ...]]] = [[] for _ in range(buckets)]
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self._buffered = 0

    def add(self, key: str, row: tuple[Any, ...]) -> None:
        """Add a row, with its values in the order of the columns."""
        self._buffers[zlib.crc32(key.encode("utf-8", "surrogatepass")) % self.buckets].append(row)
        self._buffered += 1
        if self._buffered >= _BUFFERED_ROWS:
            self._flush()

    def close(self) -> None:
        """Finish writing. Needed before `rows`."""
        self._flush()
        for writer in self._writers.values():
            writer.close()

    def rows(self, bucket: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a partition in the order in which they were added."""
        if bucket not in self._writers:
            return
        with pa.ipc.open_stream(str(self._path(bucket))) as reader:
            for batch in reader:
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _flush(self) -> None:
        for bucket, rows in enumerate(self._buffers):
            if not rows:
                continue
            if bucket not in self._writers:
                self._writers[bucket] = pa.ipc.new_stream(str(self._path(bucket)), self._schema)
            columns = [
                pa.array(values, field.type)
                for values, field in zip(zip(*rows, strict=True), self._schema, strict=True)
            ]
            self._writers[bucket].write_batch(pa.record_batch(columns, schema=self._schema))
            rows.clear()
        self._buffered = 0

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.arrow"
