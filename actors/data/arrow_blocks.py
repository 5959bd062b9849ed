"""Read the blocks of a dataset as Arrow tables.

A wrapper with a precise return type: the type hints of Ray's `iter_batches` also allow other batch formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from ray.data import Dataset


def tables_in(data: Dataset) -> Iterator[pa.Table]:
    """Run a dataset, and yield its blocks in the driver as they become ready."""
    yield from data.iter_batches(batch_size=None, batch_format="pyarrow")
