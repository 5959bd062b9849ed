"""Labels as batches: the same lists in the same order for the same seed, whatever the number of workers.

Every worker reads its share of a step's lists from storage when it needs them, a step ahead of the training. So
an epoch can be taken up in its middle by another number of workers, and no worker holds more labels than some row groups of their
files, about a megabyte each.
"""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from ranking.errors import InputError
from ranking.labels.confidence import trust
from ranking.labels.label_views import graded, viewed
from ranking.labels.rationales import with_rationales
from ranking.labels.relevance import relevance
from ranking.records import Label, LabelledCandidate, RationaleList, content, misfit
from ranking.storage.folder import Folder
from students.batches import ListBatch, list_batch
from students.kinds import TrainingReader
from students.rra_gpt import AuxiliaryTargets
from students.settings import TrainingSettings

R = TypeVar("R", bound=BaseModel)
_GROUPS_HELD = 64


class RowReader(Generic[R]):
    """Rows of a folder's parts, looked up by query id."""

    def __init__(self, folder: Folder, model: type[R]) -> None:
        self.folder, self.model = folder, model
        self._place = {
            query_id: place
            for part in folder.names(".parquet")
            for query_id, place in zip(
                folder.read_table(part, ["query_id"])["query_id"].to_pylist(), self._places(part), strict=True
            )
        }
        self._group = functools.lru_cache(_GROUPS_HELD)(folder.read_row_group)

    def read(self, query_id: str) -> R:
        """Read one row. Raises KeyError for an id that is not here, InputError for a row of another version."""
        part, group, row = self._place[query_id]
        table: pa.Table = self._group(part, group)
        try:
            return self.model.model_validate(table.slice(row, 1).to_pylist()[0])
        except ValidationError as error:
            raise InputError(f"{self.folder.uri}/{part}: query {query_id}: {misfit(error)}; label anew") from None

    def _places(self, part: str) -> list[tuple[str, int, int]]:
        """Where each row of a part is: its row group and its place there."""
        return [(part, group, row) for group, rows in enumerate(self.folder.rows_by_group(part)) for row in range(rows)]


class LabelReader:
    """Labels by query id. rationales: folder of rationales that their candidates get; None for none."""

    def __init__(self, labels: Folder, rationales: Folder | None = None) -> None:
        self._labels = RowReader(labels, Label)
        self._rationales = RowReader(rationales, RationaleList) if rationales else None

    def read(self, ids: Sequence[str]) -> list[Label]:
        """Read labels, in the order of their ids. Raises KeyError for an id that is not here."""
        labels = map(self._labels.read, ids)
        return [
            with_rationales(label, self._rationales.read(label.query_id).rationales) if self._rationales else label
            for label in labels
        ]


@dataclass(frozen=True)
class StepShare:
    """One worker's share of a step. epoch: from 0. ids: its queries. of: how many lists the step has over all workers."""

    epoch: int
    ids: list[str]
    of: int


def order_of(ids: Sequence[str], seed: int, epoch: int) -> list[str]:
    """The order of an epoch: a permutation that depends on the ids, the seed and the epoch alone."""
    ordered = sorted(ids)
    random.Random(f"{seed} {epoch}").shuffle(ordered)
    return ordered


def shares(
    ids: Sequence[str], training: TrainingSettings, first_step: int, rank: int, workers: int
) -> Iterator[StepShare]:
    """This worker's share of every step from `first_step` on, counted from 0 over all epochs.

    A step's lists are dealt out one by one, so that workers differ by one list at most.
    """
    per_step = training.queries_per_step
    per_epoch = len(ids) // per_step
    ordered: list[str] = []
    for step in range(first_step, training.steps_over(len(ids))):
        epoch, place = divmod(step, per_epoch)
        if place == 0 or not ordered:
            ordered = order_of(ids, training.seed, epoch)
        lists = ordered[place * per_step : (place + 1) * per_step]
        yield StepShare(epoch, lists[rank::workers], len(lists))


class LabelBatches:
    """Turns shares into batches, read and tokenised a step ahead.

    rows: how the student's pairs are tokenised. grades: {query_id: {doc_id: grade}} to learn from instead of the labels.
    """

    def __init__(
        self,
        reader: LabelReader,
        training: TrainingSettings,
        rows: TrainingReader,
        grades: dict[str, dict[str, int]] | None = None,
    ) -> None:
        self.reader = reader
        self.training = training
        self.rows = rows
        self.grades = grades
        self._reading = (
            threading.Lock()
        )  # a tokenizer has one truncation at a time, and validation reads beside the step ahead

    def of(self, dealt: Iterator[StepShare]) -> Iterator[tuple[StepShare, ListBatch]]:
        """Yield each share with its lists."""
        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for share in dealt:
                coming = (share, pool.submit(self.batch, share.ids, share.epoch))
                if ahead is not None:
                    yield ahead[0], ahead[1].result()
                ahead = coming
            if ahead is not None:
                yield ahead[0], ahead[1].result()

    def batch(self, ids: Sequence[str], epoch: int | None) -> ListBatch:
        """Lay out the lists of some queries. epoch: decides which candidates are sampled; None for all of them."""
        labels = self.reader.read(ids)
        weights = [trust(label.confidence) for label in labels] if self.training.confidence.weight else None
        taken = [self._taken(label, epoch) for label in labels]
        lists = [
            (label.query, [(content(c.title, c.text), c.target) for c in candidates])
            for label, (candidates, _) in zip(labels, taken, strict=True)
        ]
        batch = list_batch(lists, weights)
        with self._reading:
            batch.rows = self.rows.rows(batch.pairs, [told for _, tellings in taken for told in tellings])
        return batch

    def _taken(self, label: Label, epoch: int | None) -> tuple[list[LabelledCandidate], list[AuxiliaryTargets]]:
        """The candidates of a label that are learned from, at least one, and what is told of each."""
        explained = relevant = dict(zip((c.doc_id for c in label.candidates), relevance(label), strict=True))
        # one document alone orders nothing, so a list of which nothing is to be learned adds nothing
        candidates = viewed(label, self.training.missing, self.training.max_pre_rank) or label.candidates[:1]
        if self.grades is not None:
            candidates = graded(candidates, self.grades[label.query_id], self.training.relevant_grade)
            relevant = {c.doc_id: c.target > 0 for c in candidates}
        sample = self.training.candidates_per_list
        if epoch is not None and sample is not None and sample < len(candidates):
            drawn = random.Random(f"{self.training.seed} {epoch} {label.query_id}")
            candidates = sampled(
                candidates, sample, drawn, [_teaches_most(c, self.grades is not None) for c in candidates]
            )
        # a rationale tells why the teacher decided so; where the judgement is another one, there is none
        return candidates, [
            AuxiliaryTargets(relevant[c.doc_id], c.rationale if relevant[c.doc_id] == explained[c.doc_id] else None)
            for c in candidates
        ]


def _teaches_most(candidate: LabelledCandidate, judged: bool) -> bool:
    """Whether a sample should contain this candidate: it was listed with a target above 0, or judged relevant."""
    return candidate.target > 0 and (judged or candidate.tier == "listed")


def sampled(
    candidates: Sequence[LabelledCandidate], count: int, drawn: random.Random, first: Sequence[bool]
) -> list[LabelledCandidate]:
    """Sample candidates of a list, up to half of them from those marked in `first`.

    A teacher lists few documents, and a uniform sample would often miss all of them. If one group is too small, the other fills the sample.
    count: at most the number of candidates. Returns them in the list's order.
    """
    preferred = [i for i, wanted in enumerate(first) if wanted]
    others = [i for i, wanted in enumerate(first) if not wanted]
    share = max(min(len(preferred), (count + 1) // 2), count - len(others))
    chosen = {*drawn.sample(preferred, share), *drawn.sample(others, count - share)}
    return [candidate for i, candidate in enumerate(candidates) if i in chosen]
