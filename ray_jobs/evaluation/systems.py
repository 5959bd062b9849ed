"""The models that an evaluation scores with, and the latency of each system when it runs alone on a machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ranking.errors import InputError
from ranking.evaluation.comparison import System
from ranking.evaluation.results import Machine, SystemKind
from ranking.records import CandidateList, QueryCandidates
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.label import passage_selection
from ray_jobs.train import MODEL
from students.student_settings import StudentSettings

if TYPE_CHECKING:
    from actors.scoring.latency import MeasuredLatency
    from actors.scoring.scorers import Model

QUERIES, TEACHER_QUERIES, DOCUMENTS = 33, 13, 50
"""Numbers of queries to time models and to time the teacher, and documents per query. Three queries are for warm-up."""


def base_name(student: str) -> str:
    """Return the name, in tables and files, of a student's base model before training."""
    return f"{student}.base"


def models_of(run: Run) -> list[tuple[SystemKind, str]]:
    """List the kind and name of every model to score and time: students, then the models of `evaluation.models`."""
    students: list[tuple[SystemKind, str]] = [("student", student.name) for student in run.settings.students]
    return [*students, *(("model", model.name) for model in run.settings.evaluation.models)]


def bases_of(run: Run) -> tuple[list[StudentSettings], list[str]]:
    """Return the students whose base model can rank before training, and a note for each other student."""
    if not run.settings.evaluation.base or not run.settings.students:
        return [], []
    import ray

    from actors.scoring.scorers import load_error
    from ranking.model_paths import model_path
    from students.bases import has_ranking_head

    with_head = [student for student in run.settings.students if has_ranking_head(model_path(student.base), student)]
    notes = [
        f"{base_name(student.name)} is not measured: {student.base!r} has no ranking head before training"
        for student in run.settings.students
        if student not in with_head
    ]
    errors = ray.get(
        [ray.remote(load_error).remote(model_of(run, "base", base_name(student.name))) for student in with_head]
    )
    notes += [
        f"{base_name(student.name)} is not measured: {error}"
        for student, error in zip(with_head, errors, strict=True)
        if error is not None
    ]
    return [student for student, error in zip(with_head, errors, strict=True) if error is None], notes


def model_of(run: Run, kind: SystemKind, name: str) -> Model:
    """Return a model to score with.

    Raises:
        InputError: If the model is a student that is not trained with these settings.
    """
    from actors.scoring.scorers import Model

    if kind == "base":
        (student,) = [student for student in run.settings.students if base_name(student.name) == name]
        return Model(student.base, student.max_length, student.precision, True, student.revision, run.settings.passages)
    if kind == "model":
        (named,) = [model for model in run.settings.evaluation.models if model.name == name]
        return Model(named.model, named.max_length, revision=named.revision, passages=run.settings.passages)
    return Model(trained_model(run, name).uri)


def trained_model(run: Run, name: str) -> Folder:
    """Return the model folder of a trained student. Moves it back if training with other settings moved it aside.

    Raises:
        InputError: If the student is not trained with these settings.
    """
    (student,) = [student for student in run.settings.students if student.name == name]
    stage = run.plan.student(student)
    if stage.restore() is None:
        raise InputError(
            f"{stage.folder.uri}: student {name!r} is not trained with these settings; run ray_jobs.train first"
        )
    return stage.folder / MODEL


def locate_trained_model(run: Run, student: StudentSettings) -> Folder:
    """Return the model folder of a trained student without moving it, because another job may be using the run.

    Raises:
        InputError: If the student is not trained with these settings.
    """
    stage = run.plan.student(student)
    folder = stage.finished()
    if folder is None:
        raise InputError(
            f"{stage.folder.uri}: student {student.name!r} is not trained with these settings; run ray_jobs.train first"
        )
    return folder / MODEL


def check_models(run: Run) -> None:
    """Check, before anything is scored, that the models of `evaluation.models` can be loaded.

    Raises:
        InputError: If a model cannot be loaded.
    """
    if not run.settings.evaluation.models:
        return
    import ray

    from actors.scoring.scorers import load_error

    models = {model.name: model_of(run, "model", model.name) for model in run.settings.evaluation.models}
    errors = ray.get([ray.remote(load_error).remote(model) for model in models.values()])
    for name, error in zip(models, errors, strict=True):
        if error is not None:
            raise InputError(f"setting 'evaluation.models', {name!r}: {error}")


def time_systems(run: Run, systems: Sequence[System], rows: Sequence[QueryCandidates]) -> Machine | None:
    """Measure the latency of each system while nothing else runs, and store it in the system's result.

    Models use as many threads as a replica of the service. First stages with imported lists get no latency. The teacher
    is timed only if `evaluation.time_teacher` is set.

    Returns:
        The machine that the systems were timed on; None if there is nothing to time.
    """
    import ray

    from actors.cluster.remote import start_actor
    from actors.scoring.latency import LatencyProbe

    settings = run.settings
    lists = lists_to_time(rows, settings.evaluation.first_stages)
    if not lists:
        return None
    models = models_of(run)
    # a single actor, to time all systems on the same machine
    probe = start_actor(LatencyProbe, (settings.serving,), num_cpus=1)
    with run.progress.bar("timing", len(models) + 2, "systems") as bar:
        folders = (run.plan.index.folder, run.plan.embedding_cache)
        if settings.candidates.imported_lists is None:
            texts = [row.text for row in lists]
            latencies = ray.get(probe.time_first_stages.remote(*folders, settings.candidates, texts))
            for name, measured in latencies.items():
                _set_latency(systems, "first_stage", name, measured)
        bar.advance()
        if settings.pre_ranker:
            measured = ray.get(probe.time_pre_ranker.remote(folders[1], settings.pre_ranker, lists, settings.passages))
            _set_latency(systems, "pre_ranker", "pre-ranker", measured)
        bar.advance()
        for kind, name in models:
            _set_latency(systems, kind, name, ray.get(probe.time.remote(model_of(run, kind, name), lists)))
            bar.advance()
    if settings.evaluation.teacher and settings.evaluation.time_teacher:
        _time_teacher(run, systems, lists[:TEACHER_QUERIES])
    machine: Machine = ray.get(probe.machine.remote())
    return machine


def _set_latency(systems: Sequence[System], kind: SystemKind, name: str, measured: MeasuredLatency) -> None:
    """Store the latency of a system in its result. A blended student gets the latency of the student alone."""
    for system in systems:
        blended = kind == "student" and system.result.kind == "blended" and system.result.student == name
        if (system.result.kind, system.result.system) == (kind, name) or blended:
            system.result.latency_ms = measured.latency
            system.result.documents_per_second = measured.documents_per_second
            system.result.size, system.result.parity = measured.size, measured.parity


def _time_teacher(run: Run, systems: Sequence[System], lists: Sequence[CandidateList]) -> None:
    """Restart the teacher with an empty cache and measure its latency for one list at a time."""
    import ray

    from actors.cluster.placement import teacher_engines
    from actors.cluster.remote import start_actor
    from actors.data.rows import records, table_of
    from actors.retrieval.best_passages import PassageSelector
    from actors.retrieval.pre_ranking import all_candidates
    from actors.scoring.latency import MeasuredLatency, documents_per_second, latency_percentiles, measure_seconds
    from actors.teachers import make_teacher
    from ranking.records import PreRankedList

    compute = run.settings.compute
    cache = run.folder / "teacher" / "timed"
    cache.delete()  # cached answers of an earlier evaluation would take no time
    teacher = make_teacher(run.settings.teacher, compute, run.plan.teacher_fingerprint, cache)
    if teacher.actor is None:
        return
    kind, arguments = teacher.actor
    actor = start_actor(kind, arguments, **teacher_engines(compute).placement.options)
    table = all_candidates(table_of(lists, CandidateList))
    if run.settings.passages is not None:
        table = PassageSelector(*passage_selection(run, run.settings.passages))(table)
    shown = records(table, PreRankedList)
    with run.progress.bar("timing", 1, "teachers") as bar:
        seconds = measure_seconds(lambda row: ray.get(actor.outcome.remote(row)), shown)
        bar.advance()
    ray.kill(actor)
    _set_latency(
        systems,
        "teacher",
        "teacher",
        MeasuredLatency(latency_percentiles(seconds), documents_per_second(seconds, lists)),
    )


def lists_to_time(rows: Sequence[QueryCandidates], first_stages: Sequence[str]) -> list[CandidateList]:
    """Make lists of exactly 50 documents: the candidates of each query, filled up with candidates of other queries.

    If all queries together have fewer than 50 documents, documents repeat under other ids.
    """
    lists = [(row, row.union(first_stages)) for row in rows]
    pool = [candidate for _, candidates in lists for candidate in candidates]
    if not pool:
        return []
    full_lists = []
    for place, (row, candidates) in enumerate(lists[:QUERIES]):
        start = (place + 1) * DOCUMENTS % len(pool)
        others = {candidate.doc_id: candidate for candidate in [*pool[start:], *pool[:start]]}
        distinct = list(({candidate.doc_id: candidate for candidate in candidates} | others).values())
        copies = (
            candidate.model_copy(update={"doc_id": f"{candidate.doc_id}#{copy}"})
            for copy in itertools.count(2)
            for candidate in distinct
        )
        fifty = list(itertools.islice(itertools.chain(distinct, copies), DOCUMENTS))
        full_lists.append(CandidateList(query_id=row.query_id, text=row.text, candidates=fifty))
    return full_lists
