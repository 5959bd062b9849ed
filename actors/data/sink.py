"""The end of a streaming stage: each batch becomes a part on storage and a row of counts for the driver."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.data.rows import Outcome, records
from ranking.records import Rejection, SplitName
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder
from ranking.storage.parquet import part_name

_MAX_LOGGED = 20
"""Maximum number of rejections that the worker logs for each batch. rejected/ has all of them."""

_log = logging.getLogger("rradistill")

LIGHT: dict[str, Any] = {"num_cpus": 0.25, "compute": ray.data.TaskPoolStrategy(size=1)}
"""`map_batches` arguments for cheap work: one task at a time instead of one task for each waiting block."""

COUNTS = pa.schema(
    [
        ("split", pa.string()),
        ("rows", pa.int64()),
        ("rejected", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)
"""Schema of the counts that `PartSink` returns: one row for each split."""


class PartSink:
    """Ray Data UDF that writes outcomes on the worker: rows to the stage of their split, rejections to rejected/.

    Each part is written atomically, so an interruption loses no finished part.
    """

    def __init__(self, model: type[BaseModel], stages: Mapping[SplitName, Stage]) -> None:
        self.model = model
        self.stages = stages

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the outcomes of a batch and return counts with schema `COUNTS`."""
        counts = []
        outcomes = records(batch, Outcome)
        for split, stage in self.stages.items():
            of_split = [outcome for outcome in outcomes if outcome.split == split]
            with_row = [outcome for outcome in of_split if outcome.row is not None]
            rejections = [outcome.rejection for outcome in of_split if outcome.rejection is not None]
            self._write_rows(stage, with_row)
            _write_rejections(stage, rejections)
            counts.append(
                {
                    "split": split,
                    "rows": len(with_row),
                    "rejected": len(rejections),
                    "prompt_tokens": sum(outcome.tokens.prompt for outcome in of_split),
                    "completion_tokens": sum(outcome.tokens.completion for outcome in of_split),
                }
            )
        return pa.Table.from_pylist(counts, schema=COUNTS)

    def _write_rows(self, stage: Stage, outcomes: Sequence[Outcome]) -> None:
        """Write the rows of outcomes as one part. Does nothing if there are none."""
        if outcomes:
            rows = [self.model.model_validate_json(outcome.row or "") for outcome in outcomes]
            stage.folder.write_rows(part_name(outcome.query_id for outcome in outcomes), rows)


def _write_rejections(stage: Stage, rejections: Sequence[Rejection]) -> None:
    """Write rejections as one part of rejected/ and log the first `_MAX_LOGGED` of them as JSON."""
    if rejections:
        with_stage = [rejection.model_copy(update={"stage": stage.name}) for rejection in rejections]
        for rejection in with_stage[:_MAX_LOGGED]:
            event = {
                "run": stage.run.uri,
                "stage": stage.name,
                "query_id": rejection.query_id,
                "rejected": rejection.reason[:200],
            }
            _log.warning(json.dumps(event, ensure_ascii=False))
        (stage.run / REJECTED).write_rows(
            stage.rejected_prefix + part_name(rejection.query_id for rejection in with_stage), with_stage
        )


class TableSink:
    """Ray Data UDF that writes each batch unchanged as a new part and counts its rows."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write a batch and return its number of rows as {rows}."""
        if batch.num_rows:
            self.folder.write_table(f"part-{uuid.uuid4().hex}.parquet", batch)
        return pa.table({"rows": [batch.num_rows]})
