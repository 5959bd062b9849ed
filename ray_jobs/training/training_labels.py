"""Load and check labels, judgements and rationales for a training run, and split off the validation queries."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.labels.label_views import training_candidates
from ranking.records import Label, Provenance, misfit
from ranking.selection.long_tail import keys_of_questions
from ranking.selection.near_duplicates import deduplication_key
from ranking.selection.query_text import normalise
from ranking.selection.validation_split import is_validation
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.common.training_inputs import TrainingInput
from students.student_settings import StudentSettings
from students.training_settings import TrainingSettings


def require_labels(run: Run) -> TrainingInput:
    """Return the folder and fingerprint of the training labels.

    Raises:
        InputError: If labelling with these settings is not finished.
    """
    if not run.settings.training.labels:
        stage = run.plan.labels
        if stage.restore() is None:
            raise InputError(
                f"{stage.folder.uri}: labelling with these settings is not finished; run ray_jobs.label first"
            )
    return run.plan.labels_for_training


def first_label(folder: Folder) -> Label:
    """Read one label, and validate one label for each distinct schema among the part files.

    Raises:
        InputError: If there are no labels, or a part file was written by another version.
    """
    first, checked = None, []
    for part in folder.names(".parquet"):
        schema = folder.schema(part)
        if schema in checked or not folder.count_rows(part):
            continue
        checked.append(schema)
        missing = [name for name in Label.model_fields if name not in schema.names]
        try:
            label = Label.model_validate(folder.read_row_group(part, 0).slice(0, 1).to_pylist()[0])
        except ValidationError as error:
            raise InputError(f"{folder.uri}/{part}: {misfit(error)}; run ray_jobs.label again") from None
        if missing:
            raise InputError(
                f"{folder.uri}/{part}: written by another version (no column {missing[0]!r}); run ray_jobs.label again"
            )
        first = first or label
    if first is None:
        raise InputError(f"{folder.uri}: there are no labels; run ray_jobs.label first")
    return first


def check_ordered(folder: Folder, training: TrainingSettings) -> None:
    """Check that there is something to learn: at least one label prefers one document to another.

    Raises:
        InputError: If no label does.
    """
    for label in folder.read_rows(Label):
        if (
            len({candidate.target for candidate in training_candidates(label, training.missing, training.max_pre_rank)})
            > 1
        ):
            return
    raise InputError(
        f"{folder.uri}: nothing to learn; with training.missing {training.missing} and training.max_pre_rank "
        f"{training.max_pre_rank}, no label prefers one document to another"
    )


def drop_test_questions(run: Run, labels: Folder, ids: Sequence[str]) -> list[str]:
    """Drop labels of other runs whose query is a near-duplicate of a test query of this run.

    The run's own labels need no check, because query selection excludes test queries.

    Args:
        run: The run.
        labels: Folder of the labels.
        ids: Ids of the labelled queries.

    Returns:
        The remaining ids.
    """
    language = run.settings.collection.language
    questions = keys_of_questions([query.text for query in run.collection.test], language)
    texts = dict(zip(labels.read_column("query_id"), labels.read_column("query"), strict=True))
    keys = {query_id: deduplication_key(normalise(texts[query_id]), language) for query_id in ids}
    remaining = [query_id for query_id in ids if keys[query_id] not in questions]
    if len(remaining) < len(ids):
        dropped = len(ids) - len(remaining)
        run.progress.stage("labels", f"dropped {dropped:,} of {len(ids):,} labels: their queries are test queries here")
    return remaining


def judgements(run: Run, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the judgements of the labelled queries that have a relevant document.

    Returns:
        {query_id: {doc_id: grade}}

    Raises:
        InputError: If no labelled query has a relevant document.
    """
    relevant_grade = run.settings.training.relevant_grade
    qrels = run.collection.log_qrels
    grades = {
        query_id: qrels[query_id]
        for query_id in ids
        if any(grade >= relevant_grade for grade in qrels.get(query_id, {}).values())
    }
    if not grades:
        raise InputError(
            f"setting 'training.targets': {run.collection.name} has no judgements of grade {relevant_grade} or more "
            "for the labelled queries; use labels, or a BEIR folder with qrels/train.tsv"
        )
    run.progress.stage(
        "judgements",
        f"training on the {len(grades):,} of {len(ids):,} labelled queries that have a relevant document",
    )
    return grades


def judgement_provenance(collection: Collection) -> Provenance:
    """Return the provenance of targets that are taken from the collection's judgements."""
    return Provenance(
        teacher=f"judgements of {collection.name}", fingerprint=collection.fingerprint, engine="none", targets="grades"
    )


def require_rationales(run: Run, student: StudentSettings) -> Folder | None:
    """Return the folder of the rationales; None if the student does not learn from rationales.

    Raises:
        InputError: If the rationales of these settings are not finished.
    """
    if not run.plan.reads_rationales(student):
        return None
    if run.settings.training.labels:
        return run.plan.rationales_for_training.folder
    stage = run.plan.rationales
    if stage.restore() is None:
        raise InputError(
            f"{stage.folder.uri}: the rationales of these settings are not finished; run ray_jobs.rationales first"
        )
    return stage.folder


def split_validation(ids: Sequence[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Split queries into validation and training queries, with the same split as labelling.

    Args:
        ids: Query ids.
        fraction: Fraction of validation queries.
        seed: The setting `queries.seed`.

    Returns:
        Ids of the validation queries and of the training queries.
    """
    validation = [query_id for query_id in sorted(ids) if is_validation(query_id, fraction, seed)]
    validation_ids = set(validation)
    return validation, [query_id for query_id in ids if query_id not in validation_ids]
