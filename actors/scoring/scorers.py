"""Score candidate lists on Ray workers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch

from actors.data.rows import records
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList
from ranking.registry_versions import verify_checksums
from ranking.storage.folder import Folder
from students.passage_splitting import score_documents
from students.scoring import CONFIG_FILE, ClassifierScorer, Scorer
from students.student_settings import Precision


@dataclass(frozen=True)
class Model:
    """A model that scores pairs: a saved student or any sequence classifier with one label.

    Attributes:
        location: Path, URI or Hugging Face ID.
        max_length: Maximum tokens per pair of a classifier; None for the model's own limit. Must be None for a student,
            which has its maximum in its config.
        precision: Precision of a classifier. A student has its precision in its config.
        as_classifier: Load a student's folder as a plain classifier, without its student config.
        revision: Revision of a Hugging Face model.
        passages: Passages that a classifier reads. A student has its passages in its config.
    """

    location: str
    max_length: int | None = None
    precision: Precision = "auto"
    as_classifier: bool = False
    revision: str | None = None
    passages: PassageSettings | None = None

    @property
    def folder(self) -> Folder | None:
        """Folder with the model's files. None for a Hugging Face ID or a model name such as `minilm`."""
        return Folder(self.location) if "://" in self.location or Path(self.location).is_dir() else None

    def load(self) -> Scorer:
        """Load the model.

        Raises:
            InputError: If it is neither a student nor a sequence classifier with one label, or if `max_length` is set
                for a student.
        """
        if self.folder is None:
            return self._classifier(model_path(self.location), self.revision)
        with tempfile.TemporaryDirectory() as local:
            path = Path(local) / "model"
            self.folder.copy_to(Folder(path))
            if (path / CONFIG_FILE).is_file() and not self.as_classifier:
                if self.max_length is not None:
                    raise InputError(
                        f"model {self.location!r}: max_length cannot be set for a saved student; remove it"
                    )
                return Scorer(path, display_name=self.location)
            return self._classifier(str(path))

    def _classifier(self, model: str, revision: str | None = None) -> ClassifierScorer:
        """Load a sequence classifier.

        Raises:
            InputError: If it cannot be loaded, or cannot read a whole passage.
        """
        scorer = ClassifierScorer(model, self.max_length, self.precision, self.location, revision)
        if self.passages is not None and self.passages.tokens >= scorer.max_length:
            raise InputError(
                f"model {self.location!r}: passages of {self.passages.tokens} tokens leave no room for the query in "
                f"its {scorer.max_length} tokens; lower passages.tokens"
            )
        scorer.passages = self.passages
        return scorer


def load_error(model: Model) -> str | None:
    """Try to load a model. Returns the error message, or None if it loads."""
    try:
        model.load()
    except InputError as error:
        return str(error)
    return None


def load_champion(model: Folder, checksum: str) -> Scorer:
    """Load a promoted model version (a champion) from the registry.

    Args:
        model: Folder of the version.
        checksum: Checksum that was stored when the version was promoted.

    Raises:
        InputError: If the files do not match the checksum.
    """
    with tempfile.TemporaryDirectory() as local:
        path = Path(local) / "model"
        model.copy_to(Folder(path))
        verify_checksums(Folder(path), checksum, model.uri)
        return Scorer(path, display_name=model.uri)


class ListScorer:
    """Ray Data actor that scores candidate lists: one row {query_id, doc_ids, scores, shortened} per query.

    `shortened` is the number of documents with more passages than the model's passage settings allow.
    """

    def __init__(self, model: Model) -> None:
        """Load the model. Each actor uses one thread, because several actors run in parallel."""
        torch.set_num_threads(1)
        self.scorer = model.load()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score a batch of `CandidateList` rows."""
        rows = []
        for row in records(batch, CandidateList):
            scored = score_documents(self.scorer, row.text, [(c.title, c.text) for c in row.candidates])
            doc_ids = [c.doc_id for c in row.candidates]
            rows.append(
                {"query_id": row.query_id, "doc_ids": doc_ids, "scores": scored.scores, "shortened": scored.shortened}
            )
        return pa.Table.from_pylist(rows)
