"""The end of a streaming stage: every batch becomes a part on storage, and a line of counts for the driver."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.rows import Outcome, records
from ranking.records import Label
from ranking.storage import Folder, part_name

LIGHT: dict[str, Any] = {"num_cpus": 0.25, "compute": ray.data.TaskPoolStrategy(size=1)}
"""Placement of work that is light: one process at a time, not one for every block that waits."""

COUNTS = ("rows", "rejected", "prompt_tokens", "completion_tokens")


class PartSink:
    """Writes outcomes where they arrive: rows to the stage's folder, rejections to rejected/.

    A part is written whole or not at all, so what was done before an interruption stays.
    """

    def __init__(self, model: type[BaseModel], folder: Folder, rejected: Folder, rejected_prefix: str) -> None:
        self.model = model
        self.folder = folder
        self.rejected = rejected
        self.rejected_prefix = rejected_prefix

    def __call__(self, batch: pa.Table) -> pa.Table:
        outcomes = records(batch, Outcome)
        rows = [self.model.model_validate_json(outcome.row) for outcome in outcomes if outcome.row is not None]
        rejections = [outcome.rejection for outcome in outcomes if outcome.rejection is not None]
        if rows:
            self.folder.write_rows(part_name(outcome.query_id for outcome in outcomes if outcome.row is not None), rows)
        if rejections:
            name = part_name(rejection.query_id for rejection in rejections)
            self.rejected.write_rows(self.rejected_prefix + name, rejections)
        usages = [row.usage for row in rows if isinstance(row, Label)]
        counts = (len(rows), len(rejections), sum(u.prompt_tokens for u in usages), sum(u.completion_tokens for u in usages))
        return pa.table({name: [count] for name, count in zip(COUNTS, counts, strict=True)})


class TableSink:
    """Writes every batch as it is, as a part of its own, and counts its rows and, where it tells them, its tokens."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __call__(self, batch: pa.Table) -> pa.Table:
        if batch.num_rows:
            self.folder.write_table(f"part-{uuid.uuid4().hex}.parquet", batch)
        tokens = sum(batch["prompt_tokens"].to_pylist()) if "prompt_tokens" in batch.column_names else 0
        return pa.table({"rows": [batch.num_rows], "prompt_tokens": [tokens]})
