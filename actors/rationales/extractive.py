"""Rationales without a model: each candidate's sentence that shares most with the query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from actors.data.rows import Outcome, records, table_of
from ranking.labels.extractive_rationales import extracted_rationales
from ranking.records import Label, RationaleList, Usage

if TYPE_CHECKING:
    from ray.data import Dataset


class ExtractiveWriter:
    """Takes a sentence of every candidate."""

    def explain(self, labels: Dataset) -> Dataset:
        """Give rationales. labels: rows of Label. Returns rows of Outcome with a RationaleList, one for each label."""
        return labels.map_batches(extracted, batch_format="pyarrow", batch_size=None)


def extracted(batch: pa.Table) -> pa.Table:
    """Labels to outcomes."""
    outcomes = []
    for label in records(batch, Label):
        found = RationaleList(
            query_id=label.query_id, rationales=extracted_rationales(label), writer="extractive", usage=Usage()
        )
        outcomes.append(Outcome(query_id=label.query_id, row=found.model_dump_json()))
    return table_of(outcomes, Outcome)
