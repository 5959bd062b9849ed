"""Score the training labels with the student that another student is distilled from."""

from __future__ import annotations

from ranking.errors import InputError
from ranking.records import Label, ScoredList
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.common.student_order import source_of
from ray_jobs.common.training_inputs import TrainingInput
from students.student_settings import StudentSettings

_LABELS_PER_BATCH = 4


def score_labels(run: Run, student: StudentSettings, labels: TrainingInput, model: str) -> Folder | None:
    """Score the labels with the student's source, and return the folder of the scores. None without a source.

    The scores are a stage of the run: an interrupted one continues after its last part, and all students with the same
    source use the same scores.

    Args:
        run: The run.
        student: The student to be trained.
        labels: The training labels.
        model: Name of the model's folder in the folder of a student.

    Raises:
        InputError: If the source is not trained with these settings.
    """
    source = source_of(student, run.settings.students)
    if source is None:
        return None
    stage = run.plan.source_scores(source)
    if run.skip_if_finished(stage):
        return stage.folder
    trained = run.plan.student(source).finished()
    if trained is None:
        raise InputError(
            f"student {student.name}: student {source.name!r}, which it is distilled from, is not trained with these "
            "settings; run ray_jobs.train first"
        )
    from actors.data.streaming import finish, parts_of, through_actor, write_stages
    from actors.scoring.label_scoring import LabelScorer
    from actors.scoring.scorers import Model

    stage.begin()
    lists, rows, left = parts_of(labels.folder, Label, without=stage)
    scored = through_actor(
        lists, LabelScorer, (Model((trained / model).uri),), run.settings.compute.cpu_actors, _LABELS_PER_BATCH
    )
    write_stages({"log": stage}, scored, ScoredList, left, run.progress, "lists")
    run.report_stage(finish(stage, rows), "lists scored")
    return stage.folder
