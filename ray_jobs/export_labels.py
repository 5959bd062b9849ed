"""Export the labels of a run as training data for other libraries.

    python -m ray_jobs.export_labels configs/quickstart.yaml
    python -m ray_jobs.export_labels configs/quickstart.yaml --export.format flag_embedding --export.max_negatives 15
    python -m ray_jobs.export_labels configs/quickstart.yaml --export.format rank_llm --export.output ranked.json

Writes labeled lists of sentence-transformers, or the formats of FlagEmbedding, ms-swift and RankLLM. Exports the labels
that `ray_jobs.train` would train on: those of the run or of the runs in `training.labels`, with enough confidence.
Needs finished labels, and no Ray cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ranking.errors import InputError
from ranking.labels.confidence import confident
from ranking.labels.label_export import LabelExport
from ranking.records import Label
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS
from ray_jobs.training import label_merging, training_labels

READS = (*CANDIDATE_SETTINGS, "teacher", "training", "export")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Write the file.

    Raises:
        InputError: If labelling is not finished, no label can be exported, or the file cannot be written.
    """
    label_merging.merge_labels(run)
    labels = training_labels.require_labels(run).folder
    training_labels.first_label(labels)
    ids = _query_ids(run, labels)
    folder, name = _output(run)
    folder.check_writable("--export.output")
    export = LabelExport(run.settings.export)
    rows = (label for label in labels.read_rows(Label) if label.query_id in ids)
    folder.write_lines(name, export.lines(rows, as_array=name.endswith(".json")))
    for line in _summary(export, len(ids), folder.address(name)):
        run.progress.stage("export", line)


def _query_ids(run: Run, labels: Folder) -> set[str]:
    """Return the ids of the queries to export."""
    training = run.settings.training
    confidences = dict(zip(labels.read_column("query_id"), labels.read_column("confidence"), strict=True))
    ids = confident(confidences, training.confidence.min_confidence)
    if training.labels:
        ids = training_labels.drop_test_questions(run, labels, ids)
    validation, train = training_labels.split_validation(ids, training.validation_fraction, run.settings.queries.seed)
    return set({"all": ids, "train": train, "validation": validation}[run.settings.export.split])


def _output(run: Run) -> tuple[Folder, str]:
    """Return the folder and the name of the file to write.

    Raises:
        InputError: If there is a folder of this name.
    """
    settings = run.settings.export
    if settings.output is None:
        return run.folder / "export", f"{settings.format}.jsonl"
    place, _, name = settings.output.rpartition("/")
    folder = Folder(place or ("/" if settings.output.startswith("/") else "."))
    if (folder / name).exists() and not (folder / name).is_file():
        raise InputError(f"setting 'export.output': {folder.address(name)} is a folder; give the name of a file")
    return folder, PurePosixPath(name).name


def _summary(export: LabelExport, labels: int, address: str) -> Iterator[str]:
    yield f"{export.written:,} of {labels:,} labels as {export.settings.format} to {address}"
    if export.skipped and export.settings.format in ("flag_embedding", "ms_swift"):
        yield f"skipped {export.skipped:,} labels without a positive or a negative"
    elif export.skipped:
        yield f"skipped {export.skipped:,} labels that prefer no document to another"


if __name__ == "__main__":
    job(main, READS)
