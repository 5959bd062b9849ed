"""The data that a student is trained on: labels, rationales, judgements, and the split into training and validation."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ranking.clicks.click_mixing import ListClicks
from ranking.labels.confidence import confident
from ranking.records import Provenance
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.common.training_inputs import TrainingInput
from ray_jobs.training import click_labels, label_merging, training_labels
from students.student_settings import RraBertSettings, StudentSettings

_TERM_FREQUENCY_DOCUMENTS = 50_000
"""Maximum number of documents to count term frequencies in."""


@dataclass(frozen=True)
class TrainingData:
    """What a student is trained on.

    Attributes:
        labels: Folder of the labels and its fingerprint.
        rationales: Folder of rationales; None if the student does not learn from them.
        train_ids: Queries to train on.
        validation_ids: Queries to validate on.
        grades: {query_id: {doc_id: grade}} if the targets are judgements, else None.
        provenance: Provenance of the targets.
        label_count: Number of all labels, including dropped ones.
        dropped_for_confidence: Number of labels dropped because they are below the minimum confidence.
        clicks: {query_id: clicks} to mix into the targets; None for none.
    """

    labels: TrainingInput
    rationales: Folder | None
    train_ids: list[str]
    validation_ids: list[str]
    grades: dict[str, dict[str, int]] | None
    provenance: Provenance
    label_count: int
    dropped_for_confidence: int
    clicks: dict[str, ListClicks] | None = None

    @property
    def query_count(self) -> int:
        """Number of queries that training and validation use."""
        return len(self.train_ids) + len(self.validation_ids)


def prepare(run: Run, student: StudentSettings) -> TrainingData:
    """Collect and check what a student is trained on.

    Raises:
        InputError: If labels, rationales or judgements are missing.
    """
    training = run.settings.training
    label_merging.merge_labels(run)
    labels = training_labels.require_labels(run)
    provenance = training_labels.first_label(labels.folder).provenance
    rationales = training_labels.require_rationales(run, student)
    ids, confidences = (labels.folder.read_column(name) for name in ("query_id", "confidence"))
    query_ids = confident(dict(zip(ids, confidences, strict=True)), training.confidence.min_confidence)
    dropped = len(ids) - len(query_ids)
    _report_confidence(run, confidences, dropped)
    if training.labels:
        query_ids = training_labels.drop_test_questions(run, labels.folder, query_ids)
    grades = None
    if training.targets == "judgements":
        grades = training_labels.judgements(run, query_ids)
        provenance = training_labels.judgement_provenance(run.collection)
        query_ids = list(grades)
    validation, train_ids = training_labels.split_validation(
        query_ids, training.validation_fraction, run.settings.queries.seed
    )
    clicks = click_labels.clicks_of_labels(run, labels.folder, query_ids)
    return TrainingData(labels, rationales, train_ids, validation, grades, provenance, len(ids), dropped, clicks)


def _report_confidence(run: Run, confidences: list[float | None], dropped: int) -> None:
    """Print how many labels are dropped for low confidence, or that the setting has no effect without confidences."""
    confidence = run.settings.training.confidence
    if dropped:
        run.progress.stage(
            "confidence",
            f"dropped {dropped:,} of {len(confidences):,} labels with a confidence below {confidence.min_confidence:g}",
        )
    elif (confidence.weight or confidence.min_confidence) and all(value is None for value in confidences):
        run.progress.stage(
            "confidence",
            "no label has a confidence, so all have equal weight; set teacher.orders to 2 or more to get one",
        )


def frequent_terms(run: Run, student: StudentSettings) -> frozenset[int]:
    """Return the integer keys of terms that occur in too many documents for the student's Token Selection to use them.

    Document frequencies are counted in a sample of the collection. Empty if the student's settings set no limit.
    """
    if (
        not isinstance(student, RraBertSettings)
        or student.term_control.form == "none"
        or student.term_control.max_document_frequency == 1
    ):
        return frozenset()
    import ray

    from actors.training.term_frequencies import frequent_terms_of

    documents = run.collection.documents
    sample = random.Random(run.settings.training.seed).sample(documents, min(_TERM_FREQUENCY_DOCUMENTS, len(documents)))
    terms: frozenset[int] = ray.get(
        ray.remote(frequent_terms_of).remote(
            student, [document.content for document in sample], run.settings.collection.language
        )
    )
    run.progress.stage(
        "terms", f"{len(terms):,} terms are too frequent for Token Selection, counted in {len(sample):,} documents"
    )
    return terms
