"""The process that `benchmarks.faults.kill_writers` kills: it promotes a model, or writes the labels of recorded lists.

python -m benchmarks.faults.killed_writer promote STORAGE MODEL VERSION
python -m benchmarks.faults.killed_writer label RUN LISTS RECORDED

Prints a line when it begins to write.
"""

from __future__ import annotations

import sys

from ranking.records import Label, PreRankedList
from ranking.registry import Registry
from ranking.runs.stages import Stage
from ranking.storage.folder import Folder

STAGE = "labels"


def promote(storage: str, model: str, version: str) -> None:
    """Promote a model as a version, as `ray_jobs.promote` does."""
    print("begin", flush=True)
    Registry(Folder(storage)).promote(Folder(model), version, "faults", "to be disturbed")


def label(run: str, lists: str, recorded: str) -> None:
    """Label the lists that have neither a label nor a rejection, as `ray_jobs.label` does, but without Ray.

    Args:
        run: Folder of the run.
        lists: Folder of the candidate lists.
        recorded: File of the recorded answers.
    """
    # imported here, because these modules import Ray, which a promotion does not need
    from actors.data.parts import filter_by_id, finished_ids, finished_parts, remove_duplicate_rows
    from actors.data.rows import table_of
    from actors.data.sink import PartSink
    from actors.data.streaming import LISTS_PER_PART, forget_rejections
    from actors.teacher_settings import RecordedTeacherSettings
    from actors.teachers.recorded_teacher import RecordedTeacher

    teacher = RecordedTeacher(RecordedTeacherSettings(kind="recorded", path=recorded), "recorded")
    rows = list(Folder(lists).read_rows(PreRankedList))
    stage = Stage(Folder(run), STAGE, {}, [])
    print("begin", flush=True)
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


if __name__ == "__main__":
    {"promote": promote, "label": label}[sys.argv[1]](*sys.argv[2:])
