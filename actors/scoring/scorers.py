"""Scorers on workers: candidate lists in, scores out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from actors.data.rows import CandidateList, records
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.records import content
from ranking.registry import check_whole
from ranking.storage.folder import Folder
from students.scoring import CARD, ClassifierScorer, Scorer
from students.settings import Precision


@dataclass(frozen=True)
class Model:
    """A model that scores pairs: a student's folder, or anything that is a sequence classifier.

    place: path, URI or hub id. max_length, precision: of a classifier; a student's are in its config. as_classifier: read a student's
    folder as a plain classifier.
    """

    place: str
    max_length: int | None = None
    precision: Precision = "auto"
    as_classifier: bool = False

    @property
    def folder(self) -> Folder | None:
        """Where its files are; None for a model of a hub or of a package."""
        return Folder(self.place) if "://" in self.place or Path(self.place).is_dir() else None

    def load(self) -> Scorer:
        """Load it. Raises InputError where it is no such model."""
        if self.folder is None:
            return ClassifierScorer(model_path(self.place), self.max_length, self.precision, self.place)
        with tempfile.TemporaryDirectory() as local:
            place = Path(local) / "model"
            self.folder.copy_to(Folder(place))
            if (place / CARD).is_file() and not self.as_classifier:
                if self.max_length is not None:
                    raise InputError(
                        f"model {self.place!r}: is a saved student, whose max_length is its own; leave it out"
                    )
                return Scorer(place, called=self.place)
            return ClassifierScorer(str(place), self.max_length, self.precision, self.place)


def refusal(model: Model) -> str | None:
    """Why a model cannot be used, in a line; None where it can."""
    try:
        model.load()
    except InputError as error:
        return str(error)
    return None


def load_champion(model: Folder, checksum: str) -> Scorer:
    """Load a version of the registry. Raises InputError where a file is not the one that was promoted."""
    with tempfile.TemporaryDirectory() as local:
        place = Path(local) / "model"
        model.copy_to(Folder(place))
        check_whole(Folder(place), checksum)
        return Scorer(place, called=model.uri)


class ListScorer:
    """Ray Data actor: candidate lists to {query_id, doc_ids, scores}, one row a query."""

    def __init__(self, model: Model) -> None:
        torch.set_num_threads(1)
        self.scorer = model.load()

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = []
        for row in records(batch, CandidateList):
            scores = self.scorer.score([(row.text, content(c.title, c.text)) for c in row.candidates])
            rows.append({"query_id": row.query_id, "doc_ids": [c.doc_id for c in row.candidates], "scores": scores})
        return pa.Table.from_pylist(rows)
