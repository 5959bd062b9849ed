"""The end of a streaming stage: every batch becomes a part on storage, and a line of counts for the driver."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.rows import Outcome, Split, records
from ranking.records import Label, Rejection
from ranking.stages import REJECTED, Stage
from ranking.storage import Folder, part_name

LIGHT: dict[str, Any] = {"num_cpus": 0.25, "compute": ray.data.TaskPoolStrategy(size=1)}
"""Placement of work that is light: one process at a time, not one for every block that waits."""

COUNTS = ("rows", "rejected", "prompt_tokens", "completion_tokens")


class PartSink:
    """Writes outcomes where they arrive: rows to the folder of their split's stage, rejections to rejected/.

    A part is written whole or not at all, so what was done before an interruption stays.
    """

    def __init__(self, model: type[BaseModel], stages: Mapping[Split, Stage]) -> None:
        self.model = model
        self.stages = stages

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows: list[BaseModel] = []
        rejections: list[Rejection] = []
        outcomes = records(batch, Outcome)
        for split, stage in self.stages.items():
            of_split = [outcome for outcome in outcomes if outcome.split == split]
            rows += self._write_rows(stage, [outcome for outcome in of_split if outcome.row is not None])
            rejections += _write_rejections(stage, [outcome.rejection for outcome in of_split if outcome.rejection is not None])
        usages = [row.usage for row in rows if isinstance(row, Label)]
        counts = (len(rows), len(rejections), sum(u.prompt_tokens for u in usages), sum(u.completion_tokens for u in usages))
        return pa.table({name: [count] for name, count in zip(COUNTS, counts, strict=True)})

    def _write_rows(self, stage: Stage, outcomes: Sequence[Outcome]) -> list[BaseModel]:
        rows = [self.model.model_validate_json(outcome.row or "") for outcome in outcomes]
        if rows:
            stage.folder.write_rows(part_name(outcome.query_id for outcome in outcomes), rows)
        return rows


def _write_rejections(stage: Stage, rejections: Sequence[Rejection]) -> list[Rejection]:
    named = [rejection.model_copy(update={"stage": stage.name}) for rejection in rejections]
    if named:
        (stage.run / REJECTED).write_rows(stage.rejected_prefix + part_name(rejection.query_id for rejection in named), named)
    return named


class TableSink:
    """Writes every batch as it is, as a part of its own, and counts its rows and, where it tells them, its tokens."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __call__(self, batch: pa.Table) -> pa.Table:
        if batch.num_rows:
            self.folder.write_table(f"part-{uuid.uuid4().hex}.parquet", batch)
        tokens = sum(batch["prompt_tokens"].to_pylist()) if "prompt_tokens" in batch.column_names else 0
        return pa.table({"rows": [batch.num_rows], "prompt_tokens": [tokens]})
