"""A teacher that was asked elsewhere: rankings from a TREC run or from RankLLM's JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.rows import Outcome, PickedList, records, rejected, table_of
from actors.settings import RecordedTeacherSettings
from ranking.evaluation.runs import order_of, read_run
from ranking.labelling.targets import tiers_from_order
from ranking.records import Answer, Label, Provenance, Usage
from ranking.sources import fetched

if TYPE_CHECKING:
    from ray.data import Dataset


class RecordedTeacher:
    """Labels by the order of a run: what the run leaves out becomes a hard or an easy negative."""

    actor = None

    def __init__(self, settings: RecordedTeacherSettings, fingerprint: str) -> None:
        with fetched(settings.path) as path:
            self.orders = {query_id: order_of(scores) for query_id, scores in read_run(path).items()}
        self.provenance = Provenance(teacher=Path(settings.path).name, fingerprint=fingerprint, engine="recorded", targets="tiers")

    def label(self, lists: Dataset) -> Dataset:
        """Label lists. lists: rows of PickedList. Returns rows of Outcome."""
        return lists.map_batches(self._label_batch, batch_format="pyarrow", batch_size=None)

    def _label_batch(self, batch: pa.Table) -> pa.Table:
        return table_of([self._outcome(row) for row in records(batch, PickedList)], Outcome)

    def _outcome(self, row: PickedList) -> Outcome:
        order = self.orders.get(row.query_id)
        if not row.picked:
            return rejected(row, "no candidates to rank")
        if order is None:
            return rejected(row, "the recorded run does not hold this query")
        candidates = tiers_from_order(row.as_tuples(), order)
        missing = sum(candidate.position is None for candidate in candidates)
        if missing == len(candidates):
            return rejected(row, "the recorded run lists none of this query's candidates")
        label = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=candidates,
            answer=Answer(missing=missing),
            provenance=self.provenance,
            usage=Usage(),
        )
        return Outcome(query_id=row.query_id, split=row.split, row=label.model_dump_json())
