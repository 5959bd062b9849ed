"""The models that an evaluation scores with, and how fast each of them is alone on a machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.rows import TestLists
from ranking.errors import InputError
from ranking.evaluation.measuring import System
from ranking.evaluation.results import Machine, SystemKind
from ranking.records import content
from ranking.storage import Folder
from ray_jobs import plan
from ray_jobs.run import Run
from ray_jobs.train import MODEL

if TYPE_CHECKING:
    from actors.scorer import Model

QUERIES, DOCUMENTS = 30, 50


def models_of(run: Run) -> list[tuple[SystemKind, str]]:
    """Kind and name of every model: students, then others."""
    students: list[tuple[SystemKind, str]] = [("student", student.name) for student in run.settings.students]
    return [*students, *(("model", model.name) for model in run.settings.evaluation.models)]


def model_of(run: Run, kind: SystemKind, name: str) -> Model:
    """Where a model is. Raises InputError for a student that is not trained."""
    from actors.scorer import Model

    if kind == "model":
        (found,) = [model for model in run.settings.evaluation.models if model.name == name]
        return Model(found.model, found.max_length)
    return Model(trained(run, name).uri)


def trained(run: Run, name: str) -> Folder:
    """The model folder of a student, trained with these very settings. Raises InputError where it is not."""
    (student,) = [student for student in run.settings.students if student.name == name]
    stage = plan.student_stage(run, student)
    if stage.restore() is None:
        raise InputError(f"{stage.folder.uri}: student {name!r} is not trained with these settings; run ray_jobs.train first")
    return stage.folder / MODEL


def check_models(run: Run) -> None:
    """Raise InputError for a model of others that cannot be used, before anything is scored."""
    if not run.settings.evaluation.models:
        return
    import ray

    from actors.scorer import refusal

    asked = [(model.name, model_of(run, "model", model.name)) for model in run.settings.evaluation.models]
    for (name, _), why in zip(asked, ray.get([ray.remote(refusal).remote(model) for _, model in asked]), strict=True):
        if why is not None:
            raise InputError(f"setting 'evaluation.models', {name!r}: {why}")


def time_models(run: Run, systems: Sequence[System], rows: Sequence[TestLists]) -> Machine | None:
    """Time every model alone, with the threads that a replica of the service has, and note it with its systems.

    Returns the machine that it was done on; None where there is no model.
    """
    import ray

    from actors.scorer import Stopwatch

    names = models_of(run)
    asked = queries_to_time(rows, run.settings.evaluation.first_stages)
    if not names or not asked:
        return None
    stopwatch = ray.remote(Stopwatch).options(num_cpus=1).remote(run.settings.serving.replicas)  # one, so that all are timed on one machine
    machine = None
    with run.progress.bar("timing", len(names), "models") as bar:
        for kind, name in names:
            timed = ray.get(stopwatch.time.remote(model_of(run, kind, name), asked))
            for system in systems:
                if (system.result.kind, system.result.system) == (kind, name):
                    system.result.latency_ms, system.result.documents_per_second = timed.latency, timed.documents_per_second
                    system.result.size, system.result.parity = timed.size, timed.parity
            machine = timed.machine
            bar.advance()
    return machine


def queries_to_time(rows: Sequence[TestLists], first_stages: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Queries with exactly 50 documents each: their own candidates, and where those are fewer, some of other queries."""
    lists = [(row.text, [content(c.title, c.text) for c in row.union(first_stages)]) for row in rows]
    every = [document for _, documents in lists for document in documents]
    if not every:
        return []
    timed = []
    for place, (text, documents) in enumerate(lists[:QUERIES]):
        more = itertools.islice(itertools.cycle(every), (place + 1) * DOCUMENTS % len(every), None)
        timed.append((text, list(itertools.islice(itertools.chain(documents, more), DOCUMENTS))))
    return timed
