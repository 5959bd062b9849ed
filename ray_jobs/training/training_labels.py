"""What a training learns from: the labels, judgements and rationales, checked, and which queries validate it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.labels.label_views import viewed
from ranking.records import Label, Provenance, misfit
from ranking.selection.long_tail import keys_of_questions
from ranking.selection.near_duplicates import deduplication_key
from ranking.selection.query_text import normalise
from ranking.selection.validation_split import is_validation
from ranking.storage.folder import Folder
from ray_jobs.common import plan
from ray_jobs.common.run import Run
from students.settings import StudentSettings, TrainingSettings


def labels_to_learn(run: Run) -> plan.TrainingInput:
    """The labels that are learned from. Raises InputError where those of these settings are not made, or not all."""
    if not run.settings.training.labels:
        stage = plan.labels_stage(run)
        if stage.restore() is None:
            raise InputError(
                f"{stage.folder.uri}: the labels of these settings are not made, or not all; run ray_jobs.label first"
            )
    return plan.labels_to_learn(run)


def first_label(folder: Folder) -> Label:
    """Read one label. Raises InputError where there is none, or where a part's are not of this version."""
    first, known = None, []
    for part in folder.names(".parquet"):
        schema = folder.schema(part)
        if schema in known or not folder.count_rows(part):
            continue
        known.append(schema)
        missing = [name for name in Label.model_fields if name not in schema.names]
        try:
            label = Label.model_validate(folder.read_row_group(part, 0).slice(0, 1).to_pylist()[0])
        except ValidationError as error:
            raise InputError(f"{folder.uri}/{part}: {misfit(error)}; label anew") from None
        if missing:
            raise InputError(
                f"{folder.uri}/{part}: not of this version ({missing[0]}: there is no such column); label anew"
            )
        first = first or label
    if first is None:
        raise InputError(f"{folder.uri}: there are no labels to learn from; run ray_jobs.label first")
    return first


def check_ordered(folder: Folder, training: TrainingSettings) -> None:
    """Raise InputError where no list prefers one document to another, so that there is nothing to learn."""
    for label in folder.read_rows(Label):
        if len({candidate.target for candidate in viewed(label, training.missing, training.max_pre_rank)}) > 1:
            return
    raise InputError(
        f"{folder.uri}: no label prefers one document to another as training.missing ({training.missing}) and training.max_pre_rank "
        f"({training.max_pre_rank}) read it; there is nothing to learn"
    )


def not_tested(run: Run, labels: Folder, ids: Sequence[str]) -> list[str]:
    """Leave out labels of another run whose query asks what a test question of this one does; those of its own were never selected."""
    questions = keys_of_questions([query.text for query in run.collection.test])
    texts = dict(zip(labels.read_column("query_id"), labels.read_column("query"), strict=True))
    kept = [query_id for query_id in ids if deduplication_key(normalise(texts[query_id])) not in questions]
    if len(kept) < len(ids):
        run.progress.stage(
            "labels", f"{len(ids) - len(kept):,} of {len(ids):,} left out, as their queries are test questions here"
        )
    return kept


def judgements(run: Run, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """The judgements of labelled queries that have a relevant document. Raises InputError where no query has one."""
    lowest = run.settings.training.relevant_grade
    held = run.collection.log_qrels
    grades = {
        query_id: held[query_id]
        for query_id in ids
        if any(grade >= lowest for grade in held.get(query_id, {}).values())
    }
    if not grades:
        raise InputError(
            f"setting 'training.targets': {run.collection.name} has no judgements of grade {lowest} or more for the labelled queries; "
            "take labels, or a BEIR folder with qrels/train.tsv"
        )
    run.progress.stage(
        "judgements",
        f"{len(grades):,} of {len(ids):,} labelled queries have a relevant document; only they are learned from",
    )
    return grades


def judged_by(collection: Collection) -> Provenance:
    """Where targets come from that are judgements."""
    return Provenance(
        teacher=f"judgements of {collection.name}", fingerprint=collection.fingerprint, engine="none", targets="grades"
    )


def rationales_to_learn(run: Run, student: StudentSettings) -> Folder | None:
    """The rationales, where the student learns from them. Raises InputError where they are wanted and not all written."""
    if not plan.reads_rationales(run, student):
        return None
    if run.settings.training.labels:
        return plan.rationales_to_learn(run).folder
    stage = plan.rationales_stage(run)
    if stage.restore() is None:
        raise InputError(
            f"{stage.folder.uri}: the rationales of these settings are not written, or not all; run ray_jobs.rationales first"
        )
    return stage.folder


def divided(ids: Sequence[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Divide queries into those to validate on and those to learn from, as labelling did. seed: `queries.seed`."""
    validation = [query_id for query_id in sorted(ids) if is_validation(query_id, fraction, seed)]
    chosen = set(validation)
    return validation, [query_id for query_id in ids if query_id not in chosen]
