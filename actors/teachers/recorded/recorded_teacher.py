"""A teacher that takes its labels from a file of recorded answers, runs or grades."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.data.rows import Outcome, records, rejection_outcome, table_of
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.errors import InputError
from ranking.labels.recorded_rankings import NOTHING_HELPS, RecordedList, read_recorded
from ranking.labels.targets import targets_from_grades, tiers_from_order, with_passages
from ranking.records import Answer, Label, LabelledCandidate, PreRankedList, Provenance, Usage
from ranking.storage.sources import fetched

if TYPE_CHECKING:
    from ray.data import Dataset


class RecordedTeacher:
    """Teacher that labels candidate lists from recorded rankings, without a model.

    A recorded ranking is an LLM answer with the documents in its prompt, a plain order, or a grade per document.

    Args:
        settings: Teacher settings.
        fingerprint: Hash of all inputs that determine the labels.

    Raises:
        InputError: The file is missing or malformed.
    """

    actor = None

    def __init__(self, settings: RecordedTeacherSettings, fingerprint: str) -> None:
        with fetched(settings.location) as path:
            self.lists = read_recorded(path)
        graded = any(recorded.scores is not None for recorded in self.lists.values())
        self.unlisted_is_unseen = settings.unlisted == "unseen"
        self.provenance = Provenance(
            teacher=Path(settings.location).name,
            fingerprint=fingerprint,
            engine="recorded",
            targets="scores" if graded else "tiers",
        )

    def count_unknown(self, doc_ids: Set[str]) -> int:
        """Count recorded documents that are not in the collection.

        Args:
            doc_ids: Document ids of the collection.

        Returns:
            Number of distinct unknown ids.

        Raises:
            InputError: None of the recorded documents is in the collection.
        """
        recorded_ids = {doc_id for recorded in self.lists.values() for doc_id in recorded.shown or recorded.order}
        if recorded_ids and not recorded_ids & doc_ids:
            raise InputError(
                f"setting 'teacher.path': the collection has none of the {len(recorded_ids):,} recorded documents, "
                f"such as {min(recorded_ids)!r}; record rankings over the collection's document ids"
            )
        return len(recorded_ids - doc_ids)

    def label(self, lists: Dataset) -> Dataset:
        """Label each candidate list. Maps rows of PreRankedList to rows of Outcome[Label]."""
        return lists.map_batches(self._label_batch, batch_format="pyarrow", batch_size=None)

    def _label_batch(self, batch: pa.Table) -> pa.Table:
        return table_of([self._outcome(row) for row in records(batch, PreRankedList)], Outcome[Label])

    def _outcome(self, row: PreRankedList) -> Outcome[Label]:
        recorded = self.lists.get(row.query_id)
        if not row.picked:
            return rejection_outcome(row, "no candidates to rank")
        if recorded is None:
            return rejection_outcome(row, "the recorded file has no entry for this query")
        if recorded.answer is not None and not recorded.answer.usable:
            if (recorded.raw or "").strip() == NOTHING_HELPS:
                return rejection_outcome(row, "the recorded answer is none: no document is relevant", recorded.raw)
            return rejection_outcome(
                row, f"the recorded answer is unusable, parse status {recorded.answer.parse_status}", recorded.raw
            )
        candidates = with_passages(self._labelled(row, recorded), row.passages)
        if all(candidate.position is None for candidate in candidates):
            return rejection_outcome(row, "the recorded teacher lists none of this query's candidates", recorded.raw)
        label = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=candidates,
            answer=_answer(recorded, candidates),
            provenance=self.provenance,
            usage=Usage(),
        )
        return Outcome(query_id=row.query_id, split=row.split, row=label)

    def _labelled(self, row: PreRankedList, recorded: RecordedList) -> list[LabelledCandidate]:
        if recorded.scores is not None:
            return targets_from_grades(row.as_tuples(), recorded.scores)
        shown = recorded.shown or (recorded.order if self.unlisted_is_unseen else None)
        return tiers_from_order(row.as_tuples(), recorded.order, shown)


def _answer(recorded: RecordedList, candidates: list[LabelledCandidate]) -> Answer:
    """Make the `answer` of a label. Its `missing` counts candidates that the teacher saw but did not list."""
    missing = sum(candidate.position is None and candidate.tier != "unseen" for candidate in candidates)
    if recorded.answer is None:
        return Answer(missing=missing)
    answer = recorded.answer
    return Answer(
        raw=recorded.raw,
        parse_status=answer.parse_status,
        duplicates=answer.duplicates,
        out_of_range=answer.out_of_range,
        missing=missing,
    )
