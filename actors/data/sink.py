"""Write the outcomes of a streaming stage to storage on the workers, and send only counts to the driver."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from pydantic import BaseModel

from actors.data.rows import records
from ranking.records import Rejection, SplitName
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name, schema_of

_MAX_LOGGED = 20
"""Maximum number of rejections that the worker logs for each batch. The folder rejected/ has all of them."""

_log = logging.getLogger("rradistill")

LIGHT: dict[str, Any] = {"num_cpus": 0.25, "compute": ray.data.TaskPoolStrategy(size=1)}
"""`map_batches` arguments for cheap work: one task at a time instead of one task for each waiting block of rows."""

COUNTS = pa.schema(
    [
        ("split", pa.string()),
        ("rows", pa.int64()),
        ("rejected", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)
"""Schema of the counts that `PartSink` returns: one row for each split (log or test queries)."""


class PartSink:
    """Ray Data UDF that writes outcomes on the worker: rows to the stage of their split, rejections to rejected/.

    Each part (Parquet file) is written atomically, so an interruption loses no finished part.
    """

    def __init__(self, model: type[BaseModel], stages: Mapping[SplitName, Stage]) -> None:
        self.model = model
        self.stages = stages

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Write a batch with rows of `Outcome[model]`, and return counts with schema `COUNTS`."""
        if not batch.num_rows:  # Ray may pass an empty block without columns.
            return COUNTS.empty_table()
        counts = [
            self._write(stage, batch.filter(pc.equal(batch["split"], split))) | {"split": split}
            for split, stage in self.stages.items()
        ]
        return pa.Table.from_pylist(counts, schema=COUNTS)

    def _write(self, stage: Stage, outcomes: pa.Table) -> dict[str, Any]:
        """Write the outcomes of one split and return their counts."""
        rows = outcomes.filter(outcomes["row"].is_valid())
        rejections = records(_columns_of(outcomes["rejection"].drop_null(), Rejection), Rejection)
        if rows.num_rows:
            stage.folder.write_table(part_name(rows["query_id"].to_pylist()), _columns_of(rows["row"], self.model))
        _write_rejections(stage, rejections)
        return {
            "rows": rows.num_rows,
            "rejected": len(rejections),
            "prompt_tokens": pc.sum(pc.struct_field(outcomes["tokens"], "prompt"), min_count=0).as_py(),
            "completion_tokens": pc.sum(pc.struct_field(outcomes["tokens"], "completion"), min_count=0).as_py(),
        }


def _columns_of(structs: pa.ChunkedArray, model: type[BaseModel]) -> pa.Table:
    """Convert a struct column without nulls to a table with the schema of a record class.

    Raises:
        ValueError: The structs are of another record class.
    """
    return pa.Table.from_struct_array(structs).cast(schema_of(model))


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
        """Write a batch, and return a table with its number of rows in the column `rows`."""
        if batch.num_rows:
            self.folder.write_table(f"part-{uuid.uuid4().hex}.parquet", batch)
        return pa.table({"rows": [batch.num_rows]})
