"""Make rationales of what the teacher thought before its answers, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from actors.data.rows import Outcome, records, table_of
from ranking.labels.thinking_rationales import thinking_rationales
from ranking.records import Label, RationaleList, Usage

if TYPE_CHECKING:
    from ray.data import Dataset


class ThinkingWriter:
    """Rationale writer that takes sentences from the teacher's thoughts."""

    def explain(self, labels: Dataset) -> Dataset:
        """Extract rationales. Maps rows of Label to rows of Outcome[RationaleList], one per label."""
        return labels.map_batches(take_from_thoughts, batch_format="pyarrow", batch_size=None)


def take_from_thoughts(batch: pa.Table) -> pa.Table:
    """Extract the rationales of a batch with rows of Label. Returns rows of Outcome[RationaleList]."""
    outcomes: list[Outcome[RationaleList]] = []
    for label in records(batch, Label):
        rationales = RationaleList(
            query_id=label.query_id, rationales=thinking_rationales(label), writer="thinking", usage=Usage()
        )
        outcomes.append(Outcome(query_id=label.query_id, row=rationales))
    return table_of(outcomes, Outcome[RationaleList])
