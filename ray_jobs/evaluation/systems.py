"""The models that an evaluation scores with, and how fast each system is alone on a machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.data.rows import CandidateList, QueryCandidates
from ranking.errors import InputError
from ranking.evaluation.comparison import System
from ranking.evaluation.results import Machine, SystemKind
from ranking.storage.folder import Folder
from ray_jobs.common import plan
from ray_jobs.common.run import Run
from ray_jobs.train import MODEL
from students.settings import StudentSettings

if TYPE_CHECKING:
    from actors.scoring.latency import MeasuredLatency
    from actors.scoring.scorers import Model

QUERIES, TEACHER_QUERIES, DOCUMENTS = 33, 13, 50
"""Of the queries the first three do not count."""


def base_name(student: str) -> str:
    """What a student's base before training is called in tables and files."""
    return f"{student}.base"


def models_of(run: Run) -> list[tuple[SystemKind, str]]:
    """Kind and name of every model that is scored and timed: students, then others."""
    students: list[tuple[SystemKind, str]] = [("student", student.name) for student in run.settings.students]
    return [*students, *(("model", model.name) for model in run.settings.evaluation.models)]


def bases_of(run: Run) -> tuple[list[StudentSettings], list[str]]:
    """Students whose base can rank before any training, and a note for each whose base cannot."""
    if not run.settings.evaluation.base or not run.settings.students:
        return [], []
    import ray

    from actors.scoring.scorers import refusal
    from ranking.model_paths import model_path
    from students.bases import has_ranking_head

    ranks = [student for student in run.settings.students if has_ranking_head(model_path(student.base), student)]
    notes = [
        f"{base_name(student.name)} is not measured: {student.base!r} has no ranking head before training"
        for student in run.settings.students
        if student not in ranks
    ]
    found = ray.get([ray.remote(refusal).remote(model_of(run, "base", base_name(student.name))) for student in ranks])
    notes += [
        f"{base_name(student.name)} is not measured: {why}"
        for student, why in zip(ranks, found, strict=True)
        if why is not None
    ]
    return [student for student, why in zip(ranks, found, strict=True) if why is None], notes


def model_of(run: Run, kind: SystemKind, name: str) -> Model:
    """Where a model is. Raises InputError for a student that is not trained."""
    from actors.scoring.scorers import Model

    if kind == "base":
        (student,) = [student for student in run.settings.students if base_name(student.name) == name]
        return Model(student.base, student.max_length, student.precision, as_classifier=True)
    if kind == "model":
        (found,) = [model for model in run.settings.evaluation.models if model.name == name]
        return Model(found.model, found.max_length)
    return Model(trained(run, name).uri)


def trained(run: Run, name: str) -> Folder:
    """The model folder of a student, trained with these very settings. Raises InputError where it is not."""
    (student,) = [student for student in run.settings.students if student.name == name]
    stage = plan.student_stage(run, student)
    if stage.restore() is None:
        raise InputError(
            f"{stage.folder.uri}: student {name!r} is not trained with these settings; run ray_jobs.train first"
        )
    return stage.folder / MODEL


def trained_before(run: Run, student: StudentSettings) -> Folder:
    """Like `trained`, wherever the model lies: nothing is moved, as another job may be at work in the run."""
    stage = plan.student_stage(run, student)
    place = stage.finished()
    if place is None:
        raise InputError(
            f"{stage.folder.uri}: student {student.name!r} is not trained with these settings; run ray_jobs.train first"
        )
    return place / MODEL


def check_models(run: Run) -> None:
    """Raise InputError for a model of others that cannot be used, before anything is scored."""
    if not run.settings.evaluation.models:
        return
    import ray

    from actors.scoring.scorers import refusal

    asked = [(model.name, model_of(run, "model", model.name)) for model in run.settings.evaluation.models]
    for (name, _), why in zip(asked, ray.get([ray.remote(refusal).remote(model) for _, model in asked]), strict=True):
        if why is not None:
            raise InputError(f"setting 'evaluation.models', {name!r}: {why}")


def time_systems(run: Run, systems: Sequence[System], rows: Sequence[QueryCandidates]) -> Machine | None:
    """Time what ranks, each alone, and note it with its systems; models with the threads that a replica of the service has.

    Imported lists have no time, and the teacher only where `evaluation.time_teacher` asks for it. Returns the machine that
    it was done on; None where there is nothing to time.
    """
    import ray

    from actors.scoring.latency import LatencyProbe

    settings = run.settings
    lists = lists_to_time(rows, settings.evaluation.first_stages)
    if not lists:
        return None
    models = models_of(run)
    stopwatch = (
        ray.remote(LatencyProbe).options(num_cpus=1).remote(settings.serving)
    )  # one, so that all are timed on one machine
    with run.progress.bar("timing", len(models) + 2, "systems") as bar:
        places = (plan.index_stage(run).folder, plan.embedding_cache(run))
        if settings.candidates.given is None:
            texts = [row.text for row in lists]
            for name, timed in ray.get(stopwatch.time_first_stages.remote(*places, settings.candidates, texts)).items():
                _note(systems, "first_stage", name, timed)
        bar.advance()
        if settings.pre_ranker:
            _note(
                systems,
                "pre_ranker",
                "pre-ranker",
                ray.get(stopwatch.time_pre_ranker.remote(places[1], settings.pre_ranker, lists)),
            )
        bar.advance()
        for kind, name in models:
            _note(systems, kind, name, ray.get(stopwatch.time.remote(model_of(run, kind, name), lists)))
            bar.advance()
    if settings.evaluation.teacher and settings.evaluation.time_teacher:
        _time_teacher(run, systems, lists[:TEACHER_QUERIES])
    return ray.get(stopwatch.machine.remote())  # type: ignore[no-any-return]


def _note(systems: Sequence[System], kind: SystemKind, name: str, timed: MeasuredLatency) -> None:
    """Note the time of a system; a blended student takes as long as the student."""
    for system in systems:
        blended = kind == "student" and system.result.kind == "blended" and system.result.student == name
        if (system.result.kind, system.result.system) == (kind, name) or blended:
            system.result.latency_ms, system.result.documents_per_second = timed.latency, timed.documents_per_second
            system.result.size, system.result.parity = timed.size, timed.parity


def _time_teacher(run: Run, systems: Sequence[System], lists: Sequence[CandidateList]) -> None:
    """Start the teacher again, without its memory, and ask it for one list after another."""
    import ray

    from actors.cluster.placement import teacher_engines
    from actors.data.rows import PreRankedList, records, table_of
    from actors.retrieval.pre_ranking import all_candidates
    from actors.scoring.latency import MeasuredLatency, latency_of, rate_of, seconds_of
    from actors.teachers import make_teacher

    compute = run.settings.compute
    memory = run.folder / "teacher" / "timed"
    memory.delete()  # what an earlier evaluation asked would take no time
    teacher = make_teacher(run.settings.teacher, compute, plan.teacher_fingerprint(run), memory)
    if teacher.actor is None:
        return
    kind, arguments = teacher.actor
    actor = ray.remote(kind).options(**teacher_engines(compute).placement.options).remote(*arguments)
    shown = records(all_candidates(table_of(lists, CandidateList)), PreRankedList)
    with run.progress.bar("timing", 1, "teachers") as bar:
        seconds = seconds_of(lambda row: ray.get(actor.outcome.remote(row)), shown)
        bar.advance()
    ray.kill(actor)
    _note(systems, "teacher", "teacher", MeasuredLatency(latency_of(seconds), rate_of(seconds, lists)))


def lists_to_time(rows: Sequence[QueryCandidates], first_stages: Sequence[str]) -> list[CandidateList]:
    """Queries with exactly 50 documents each: their own candidates, and where those are fewer, some of other queries.

    Where all queries together have fewer than 50, some stand again under another id.
    """
    lists = [(row, row.union(first_stages)) for row in rows]
    every = [candidate for _, candidates in lists for candidate in candidates]
    if not every:
        return []
    timed = []
    for place, (row, candidates) in enumerate(lists[:QUERIES]):
        start = (place + 1) * DOCUMENTS % len(every)
        distinct = {candidate.doc_id: candidate for candidate in [*every[start:], *every[:start]]}
        found = list(({candidate.doc_id: candidate for candidate in candidates} | distinct).values())
        again = (
            one.model_copy(update={"doc_id": f"{one.doc_id}#{turn}"}) for turn in itertools.count(2) for one in found
        )
        fifty = list(itertools.islice(itertools.chain(found, again), DOCUMENTS))
        timed.append(CandidateList(query_id=row.query_id, text=row.text, candidates=fifty))
    return timed
