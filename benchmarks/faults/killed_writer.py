"""What `benchmarks.faults.kill_writers` and `kill_hosted` kill: a promotion, and the labelling of lists."""

from __future__ import annotations

import logging
import os
from multiprocessing.synchronize import Event

from actors.data.parts import filter_by_id, finished_ids, finished_parts, remove_duplicate_rows
from actors.data.rows import table_of
from actors.data.sink import PartSink
from actors.data.streaming import LISTS_PER_PART, forget_rejections
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from actors.teachers.recorded.recorded_teacher import RecordedTeacher
from benchmarks.faults.killed_hosted import label_hosted
from ranking.records import Label, PreRankedList
from ranking.registry import Registry
from ranking.runs.stages import Stage
from ranking.storage.folder import Folder

STAGE = "labels"


def write(begun: Event, environment: dict[str, str], work: str, *arguments: str) -> None:
    """Run a work. The main function of the process.

    Args:
        begun: Set when the process begins to write.
        environment: Environment variables that the storage needs.
        work: `promotion`, `labels` or `hosted`.
        *arguments: Arguments of the work.
    """
    logging.disable(logging.WARNING)  # each rejection is a warning
    os.environ.update(environment)
    {"promotion": promote, "labels": label, "hosted": label_hosted}[work](begun, *arguments)


def promote(begun: Event, storage: str, model: str, version: str) -> None:
    """Promote a model as a version, as `ray_jobs.promote` does."""
    begun.set()
    Registry(Folder(storage)).promote(Folder(model), version, "faults", "to be disturbed")


def label(begun: Event, run: str, lists: str, recorded: str) -> None:
    """Label the lists that have no label, as `ray_jobs.label` does, but without Ray.

    Args:
        begun: Set when the process begins to write.
        run: Folder of the run.
        lists: Folder of the candidate lists.
        recorded: File of the recorded answers.
    """
    teacher = RecordedTeacher(RecordedTeacherSettings(kind="recorded", path=recorded), "recorded")
    rows = list(Folder(lists).read_rows(PreRankedList))
    stage = Stage(Folder(run), STAGE, {}, [])
    begun.set()
    if stage.restore() is not None:
        return
    stage.begin()
    forget_rejections(stage)
    remaining = filter_by_id(table_of(rows, PreRankedList), finished_ids(finished_parts(stage)), include=False)
    sink = PartSink(Label, {"log": stage})
    for start in range(0, remaining.num_rows, LISTS_PER_PART):
        sink(teacher._label_batch(remaining.slice(start, LISTS_PER_PART)))
    labels, rejected = remove_duplicate_rows(stage)
    stage.finish(rows_in=len(rows), rows_out=labels, rejected=rejected)
