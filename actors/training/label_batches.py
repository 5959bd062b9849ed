"""Read labels as training batches: the same seed gives the same lists in the same order for any number of workers.

Training can therefore resume in the middle of an epoch with a different number of workers. Each worker reads its share
of a step's lists from storage one step ahead of training. It never has more labels in memory than a few row groups of
about 1 MB each.
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

from ranking.clicks.click_mixing import ListClicks, with_clicks
from ranking.errors import InputError
from ranking.labels.confidence import trust
from ranking.labels.label_views import training_candidates, with_judgement_targets
from ranking.labels.rationale_parsing import with_rationales
from ranking.labels.relevance import relevance
from ranking.records import Label, LabelledCandidate, RationaleList, ScoredList, content, misfit
from ranking.storage.folder import Folder
from students.batches import ListBatch, list_batch
from students.kinds import TrainingReader
from students.rra_gpt import AuxiliaryTargets
from students.training_settings import TrainingSettings

R = TypeVar("R", bound=BaseModel)

_CACHED_ROW_GROUPS = 64


class RowReader(Generic[R]):
    """Looks up rows by query ID in the Parquet files (parts) of a folder."""

    def __init__(self, folder: Folder, model: type[R]) -> None:
        """Index the query IDs of all parts. Reads no other column.

        Args:
            folder: Folder with the parts.
            model: Record class of the rows.
        """
        self.folder, self.model = folder, model
        self._location = {
            query_id: location
            for part in folder.names(".parquet")
            for query_id, location in zip(
                folder.read_table(part, ["query_id"])["query_id"].to_pylist(), self._locations(part), strict=True
            )
        }
        self._group = functools.lru_cache(_CACHED_ROW_GROUPS)(folder.read_row_group)

    def read(self, query_id: str) -> R:
        """Read one row.

        Raises:
            KeyError: If the folder has no row for this query.
            InputError: If the row does not match the record class.
        """
        part, group, row = self._location[query_id]
        table: pa.Table = self._group(part, group)
        try:
            return self.model.model_validate(table.slice(row, 1).to_pylist()[0])
        except ValidationError as error:
            raise InputError(
                f"{self.folder.uri}/{part}: query {query_id}: {misfit(error)}; run ray_jobs.label again"
            ) from None

    def _locations(self, part: str) -> list[tuple[str, int, int]]:
        """Return (part, row group, index within the row group) for each row of a part."""
        return [(part, group, row) for group, rows in enumerate(self.folder.rows_by_group(part)) for row in range(rows)]


class LabelReader:
    """Reads labels by query ID and adds their rationales if there is a folder of rationales."""

    def __init__(self, labels: Folder, rationales: Folder | None = None) -> None:
        """Index the labels.

        Args:
            labels: Folder of the labels.
            rationales: Folder of the rationales to add to the labels' candidates; None to add none.
        """
        self._labels = RowReader(labels, Label)
        self._rationales = RowReader(rationales, RationaleList) if rationales else None

    def read(self, ids: Sequence[str]) -> list[Label]:
        """Read the labels of some queries, in the order of `ids`.

        Raises:
            KeyError: If an ID is unknown.
        """
        labels = map(self._labels.read, ids)
        return [
            with_rationales(label, self._rationales.read(label.query_id).rationales) if self._rationales else label
            for label in labels
        ]


@dataclass(frozen=True)
class StepShare:
    """One worker's share of an optimizer step.

    Attributes:
        epoch: Epoch, counted from 0.
        ids: IDs of the queries whose lists this worker trains on in the step.
        lists_in_step: Number of lists in the step, over all workers.
    """

    epoch: int
    ids: list[str]
    lists_in_step: int


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> list[str]:
    """Shuffle the IDs for an epoch. The result depends only on the set of IDs, the seed and the epoch."""
    ordered = sorted(ids)
    random.Random(f"{seed} {epoch}").shuffle(ordered)
    return ordered


def shares(
    ids: Sequence[str], training: TrainingSettings, first_step: int, rank: int, workers: int
) -> Iterator[StepShare]:
    """Yield a worker's share of every step from `first_step` on.

    A step's lists are assigned round-robin, so the shares of two workers differ by at most one list.

    Args:
        ids: IDs of all training queries.
        training: Training settings.
        first_step: First step to yield, counted from 0 over all epochs.
        rank: Rank of this worker.
        workers: Number of workers.
    """
    per_step = training.queries_per_step
    per_epoch = len(ids) // per_step
    ordered: list[str] = []
    for step in range(first_step, training.optimizer_steps(len(ids))):
        epoch, index = divmod(step, per_epoch)
        if index == 0 or not ordered:
            ordered = epoch_order(ids, training.seed, epoch)
        lists = ordered[index * per_step : (index + 1) * per_step]
        yield StepShare(epoch, lists[rank::workers], len(lists))


class LabelBatches:
    """Reads and tokenizes the lists of a worker's step shares, one step ahead of training."""

    def __init__(
        self,
        reader: LabelReader,
        training: TrainingSettings,
        rows: TrainingReader,
        grades: dict[str, dict[str, int]] | None = None,
        clicks: dict[str, ListClicks] | None = None,
        source_scores: Folder | None = None,
    ) -> None:
        """Create batches from a reader of labels.

        Args:
            reader: Reads the labels.
            training: Training settings.
            rows: Tokenizes pairs for the student.
            grades: Judgements to learn from, {query_id: {doc_id: grade}}; None to learn from the labels.
            clicks: Clicks to mix into the labels' targets, {query_id: clicks}; None for none.
            source_scores: Folder with scores of the labels by the student to distil from; None for none.
        """
        self.reader = reader
        self.training = training
        self.rows = rows
        self.grades = grades
        self.clicks = clicks or {}
        self.source_scores = RowReader(source_scores, ScoredList) if source_scores else None
        # Validation tokenizes while a thread prepares the next step, and a tokenizer has only one truncation setting.
        self._tokenizing = threading.Lock()

    def iterate(self, shares: Iterator[StepShare]) -> Iterator[tuple[StepShare, ListBatch]]:
        """Yield each share with its batch, while a background thread reads and tokenizes the next batch."""
        with ThreadPoolExecutor(1) as pool:
            current = None
            for share in shares:
                upcoming = (share, pool.submit(self.batch, share.ids, share.epoch))
                if current is not None:
                    yield current[0], current[1].result()
                current = upcoming
            if current is not None:
                yield current[0], current[1].result()

    def batch(self, ids: Sequence[str], epoch: int | None) -> ListBatch:
        """Read and tokenize the lists of some queries.

        Args:
            ids: IDs of the queries.
            epoch: Epoch, which seeds the sampling of candidates; None to use all candidates.
        """
        labels = self.reader.read(ids)
        weights = [trust(label.confidence) for label in labels] if self.training.confidence.weight else None
        selected = [self._select(label, epoch) for label in labels]
        lists = [
            (label.query, [(content(c.title, c.text), c.target) for c in candidates])
            for label, (candidates, _) in zip(labels, selected, strict=True)
        ]
        scores = [
            self._source_scores(label.query_id, candidates)
            for label, (candidates, _) in zip(labels, selected, strict=True)
        ]
        batch = list_batch(lists, weights, scores if self.source_scores else None)
        with self._tokenizing:
            batch.rows = self.rows.rows(batch.pairs, [target for _, targets in selected for target in targets])
        return batch

    def _source_scores(self, query_id: str, candidates: Sequence[LabelledCandidate]) -> list[float]:
        """Read the scores of candidates by the student to distil from; empty if there is none.

        The only document of a list without usable candidates may have no score. It has no influence on the loss.
        """
        if self.source_scores is None:
            return []
        row = self.source_scores.read(query_id)
        scores = dict(zip(row.doc_ids, row.scores, strict=True))
        return [scores[c.doc_id] if len(candidates) > 1 else scores.get(c.doc_id, 0.0) for c in candidates]

    def _select(self, label: Label, epoch: int | None) -> tuple[list[LabelledCandidate], list[AuxiliaryTargets]]:
        """Choose the candidates of a label to learn from, at least one, and build the auxiliary targets of each."""
        explained = relevant = dict(zip((c.doc_id for c in label.candidates), relevance(label), strict=True))
        # A list without usable candidates keeps one document: a single document has no order, so its loss is 0.
        candidates = (
            training_candidates(label, self.training.missing, self.training.max_pre_rank) or label.candidates[:1]
        )
        if self.grades is not None:
            candidates = with_judgement_targets(candidates, self.grades[label.query_id], self.training.relevant_grade)
            relevant = {c.doc_id: c.target > 0 for c in candidates}
        if (clicks := self.clicks.get(label.query_id)) is not None:
            candidates = with_clicks(candidates, clicks, label.provenance.targets)
        sample = self.training.candidates_per_list
        if epoch is not None and sample is not None and sample < len(candidates):
            generator = random.Random(f"{self.training.seed} {epoch} {label.query_id}")
            preferred = [_is_preferred(c, self.grades is not None) for c in candidates]
            candidates = sample_candidates(candidates, sample, generator, preferred)
        # A rationale explains the teacher's decision. Drop it if the judgement disagrees with the teacher.
        return candidates, [
            AuxiliaryTargets(relevant[c.doc_id], c.rationale if relevant[c.doc_id] == explained[c.doc_id] else None)
            for c in candidates
        ]


def _is_preferred(candidate: LabelledCandidate, judged: bool) -> bool:
    """Return whether sampling prefers a candidate.

    Its target must be above 0. If targets are not judgements, the teacher must also have listed the document.
    """
    return candidate.target > 0 and (judged or candidate.tier == "listed")


def sample_candidates(
    candidates: Sequence[LabelledCandidate], count: int, generator: random.Random, preferred: Sequence[bool]
) -> list[LabelledCandidate]:
    """Sample candidates of a list, up to half of them from the preferred ones.

    A teacher lists few documents, and a uniform sample would often miss all of them. If there are too few preferred
    or too few other candidates, the other group fills the sample.

    Args:
        candidates: The candidates of one list.
        count: Size of the sample, at most the number of candidates.
        generator: Source of randomness.
        preferred: Whether each candidate is preferred.

    Returns:
        The sample, in the list's order.
    """
    first = [i for i, is_preferred in enumerate(preferred) if is_preferred]
    others = [i for i, is_preferred in enumerate(preferred) if not is_preferred]
    from_first = max(min(len(first), (count + 1) // 2), count - len(others))
    chosen = {*generator.sample(first, from_first), *generator.sample(others, count - from_first)}
    return [candidate for i, candidate in enumerate(candidates) if i in chosen]
