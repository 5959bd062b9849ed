"""Extract rationales without a model: the sentence of each candidate with the largest term overlap with the query."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.data.rows import Outcome, records, table_of
from ranking.labels.extractive_rationales import extracted_rationales
from ranking.languages import ENGLISH
from ranking.records import Label, RationaleList, Usage

if TYPE_CHECKING:
    from ray.data import Dataset


class ExtractiveWriter:
    """Rationale writer that extracts one sentence from each candidate.

    Args:
        language: Language of the collection.
    """

    def __init__(self, language: str = ENGLISH) -> None:
        self.language = language

    def explain(self, labels: Dataset) -> Dataset:
        """Extract rationales. Maps rows of Label to rows of Outcome[RationaleList], one per label."""
        extract = functools.partial(extract_rationales, language=self.language)
        return labels.map_batches(extract, batch_format="pyarrow", batch_size=None)


def extract_rationales(batch: pa.Table, language: str = ENGLISH) -> pa.Table:
    """Extract the rationales of a batch with rows of Label. Returns rows of Outcome[RationaleList]."""
    outcomes: list[Outcome[RationaleList]] = []
    for label in records(batch, Label):
        rationales = extracted_rationales(label, language)
        row = RationaleList(query_id=label.query_id, rationales=rationales, writer="extractive", usage=Usage())
        outcomes.append(Outcome(query_id=label.query_id, row=row))
    return table_of(outcomes, Outcome[RationaleList])
