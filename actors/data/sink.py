"""The end of a streaming stage: every batch becomes a part on storage, and a line of counts for the driver."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.data.rows import Outcome, SplitName, records
from ranking.records import Rejection
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder, part_name

_MOST_TOLD = 20
"""Rejections of a batch that the worker's log tells one by one; rejected/ has them all."""

_log = logging.getLogger("rradistill")

LIGHT: dict[str, Any] = {"num_cpus": 0.25, "compute": ray.data.TaskPoolStrategy(size=1)}
"""Placement of work that is light: one process at a time, not one for every block that waits."""

COUNTS = pa.schema(
    [
        ("split", pa.string()),
        ("rows", pa.int64()),
        ("rejected", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)


class PartSink:
    """Writes outcomes where they arrive: rows to the folder of their split's stage, rejections to rejected/.

    A part is written whole or not at all, so what was done before an interruption stays.
    """

    def __init__(self, model: type[BaseModel], stages: Mapping[SplitName, Stage]) -> None:
        self.model = model
        self.stages = stages

    def __call__(self, batch: pa.Table) -> pa.Table:
        counts = []
        outcomes = records(batch, Outcome)
        for split, stage in self.stages.items():
            of_split = [outcome for outcome in outcomes if outcome.split == split]
            labelled = [outcome for outcome in of_split if outcome.row is not None]
            rejections = [outcome.rejection for outcome in of_split if outcome.rejection is not None]
            self._write_rows(stage, labelled)
            _write_rejections(stage, rejections)
            counts.append(
                {
                    "split": split,
                    "rows": len(labelled),
                    "rejected": len(rejections),
                    "prompt_tokens": sum(outcome.tokens.prompt for outcome in of_split),
                    "completion_tokens": sum(outcome.tokens.completion for outcome in of_split),
                }
            )
        return pa.Table.from_pylist(counts, schema=COUNTS)

    def _write_rows(self, stage: Stage, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            rows = [self.model.model_validate_json(outcome.row or "") for outcome in outcomes]
            stage.folder.write_rows(part_name(outcome.query_id for outcome in outcomes), rows)


def _write_rejections(stage: Stage, rejections: Sequence[Rejection]) -> None:
    if rejections:
        named = [rejection.model_copy(update={"stage": stage.name}) for rejection in rejections]
        for rejection in named[:_MOST_TOLD]:
            told = {
                "run": stage.run.uri,
                "stage": stage.name,
                "query_id": rejection.query_id,
                "rejected": rejection.reason[:200],
            }
            _log.warning(json.dumps(told, ensure_ascii=False))
        (stage.run / REJECTED).write_rows(
            stage.rejected_prefix + part_name(rejection.query_id for rejection in named), named
        )


class TableSink:
    """Writes every batch as it is, as a part of its own, and counts its rows."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __call__(self, batch: pa.Table) -> pa.Table:
        if batch.num_rows:
            self.folder.write_table(f"part-{uuid.uuid4().hex}.parquet", batch)
        return pa.table({"rows": [batch.num_rows]})
