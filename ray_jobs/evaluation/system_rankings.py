"""Rankings of the test queries by first stages, external runs, the teacher and re-rankers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ranking.blending import Blend
from ranking.evaluation import judgement_checks
from ranking.evaluation.comparison import System, as_written
from ranking.evaluation.results import SystemKind, SystemResult
from ranking.evaluation.trec_runs import TrecRun, read_run
from ranking.records import FUSED, Candidate, CandidateList, Label, QueryCandidates
from ranking.settings import PreRankerSettings
from ranking.storage.sources import fetched
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run
from ray_jobs.evaluation import systems
from ray_jobs.training.blend_fitting import blend_of
from students.student_settings import StudentSettings

if TYPE_CHECKING:
    from actors.scoring.scorers import Model


def first_stages(run: Run, rows: Sequence[QueryCandidates]) -> list[System]:
    """Make one system per retriever and, unless there is only one retriever, one of the fused lists."""
    names = distinct_lists([named.name for named in rows[0].lists], run.settings.evaluation.first_stages)
    return [
        _system("first_stage", name, None, {row.query_id: {c.doc_id: c.score for c in row.of(name)} for row in rows})
        for name in names
    ]


def distinct_lists(lists: Sequence[str], first_stages: Sequence[str]) -> list[str]:
    """Drop the fused list if there is only one retriever, unless `evaluation.first_stages` names it."""
    return [name for name in lists if name != FUSED or len(lists) > 2 or FUSED in first_stages]


def external_runs(run: Run, notes: list[str]) -> list[System]:
    """Read the TREC runs of other systems. Appends problems with these runs to `notes`."""
    doc_ids = {document.doc_id for document in run.collection.documents}
    systems = []
    for trec_run in run.settings.evaluation.runs:
        with fetched(trec_run.path) as path:
            trec = read_run(Path(path))
        notes += judgement_checks.check_run(trec_run.name, trec, run.collection.qrels, doc_ids)
        systems.append(
            _system("run", trec_run.name, None, {q: scores for q, scores in trec.items() if q in run.collection.qrels})
        )
    return systems


def rerankers(run: Run, rows: Sequence[QueryCandidates], bases: Sequence[StudentSettings]) -> list[System]:
    """Score each query-document pair once with the pre-ranker, the teacher, the students' bases and every model.

    A student with a blend, a weighted combination with the first stage, adds a second system with the blended scores.
    In the teacher's ranking, queries that the teacher rejected keep the order of the first stage.

    Args:
        run: The run.
        rows: Candidate lists of the test queries.
        bases: Students whose base model can rank before training.

    Returns:
        One system per re-ranker and first stage.
    """
    names = run.settings.evaluation.first_stages
    unions = [
        CandidateList(query_id=row.query_id, text=row.text, candidates=union)
        for row in rows
        if (union := row.union(names))
    ]
    measured: list[System] = []
    scored: list[tuple[SystemKind, str, TrecRun]] = []
    if run.settings.pre_ranker:
        scored.append(("pre_ranker", "pre-ranker", _score_with_pre_ranker(run, run.settings.pre_ranker, unions)))
    if run.settings.evaluation.teacher:
        labels = {label.query_id: label for label in run.plan.test_labels.folder.read_rows(Label)}
        measured += [_teacher_system(labels, rows, stage) for stage in names]
    base_scores: dict[Model, TrecRun] = {}
    for student in bases:
        name = systems.base_name(student.name)
        model = systems.model_of(run, "base", name)
        if model not in base_scores:
            base_scores[model] = score_lists(run, model, name, unions)
        scored.append(("base", name, base_scores[model]))
    for kind, name in systems.models_of(run):
        scored.append((kind, name, score_lists(run, systems.model_of(run, kind, name), name, unions)))
    blends = {student.name: blend_of(systems.trained_model(run, student.name)) for student in run.settings.students}
    for kind, name, scores in scored:
        for stage in names:
            lists = {row.query_id: row.of(stage) for row in rows}
            alone = {q: _scores_of(scores.get(q, {}), candidates) for q, candidates in lists.items()}
            student_name = next(
                (student.name for student in bases if kind == "base" and systems.base_name(student.name) == name), None
            )
            measured.append(_system(kind, name, stage, alone, student_name))
            blend = blends.get(name) if kind == "student" else None
            if blend is not None:
                blended = {q: blended_scores(blend, alone[q], candidates) for q, candidates in lists.items()}
                measured.append(_system("blended", f"{name}.blended", stage, blended, name))
    return sorted(measured, key=lambda system: system.result.kind not in ("pre_ranker", "teacher"))


def blended_scores(blend: Blend, scores: Mapping[str, float], candidates: Sequence[Candidate]) -> dict[str, float]:
    """Blend a student's scores of one candidate list with the first stage's scores of that list."""
    first_stage = [candidate.score for candidate in candidates]
    blended = blend.apply([scores[candidate.doc_id] for candidate in candidates], first_stage)
    return {candidate.doc_id: score for candidate, score in zip(candidates, blended, strict=True)}


def _system(kind: SystemKind, name: str, candidates: str | None, run: TrecRun, student: str | None = None) -> System:
    return System(
        SystemResult(kind=kind, system=name, candidates=candidates, measures={}, student=student), as_written(run)
    )


def _scores_of(scores: Mapping[str, float], candidates: Sequence[Candidate]) -> dict[str, float]:
    """Select the scores of the candidates of one list."""
    return {c.doc_id: scores[c.doc_id] for c in candidates if c.doc_id in scores}


def _score_with_pre_ranker(run: Run, settings: PreRankerSettings, unions: Sequence[CandidateList]) -> TrecRun:
    """Score candidate lists with the pre-ranker."""
    import ray

    from actors.cluster.remote import start_actor
    from actors.retrieval.pre_ranking import PreRanker

    ranker = start_actor(PreRanker, (run.plan.embedding_cache, settings, (0.0, 0), run.settings.passages), num_cpus=1)
    scores = ray.get([ranker.scores.remote(row.text, row.candidates) for row in unions])
    return {
        row.query_id: {c.doc_id: score for c, score in zip(row.candidates, list_scores, strict=True)}
        for row, list_scores in zip(unions, scores, strict=True)
    }


def _teacher_system(labels: Mapping[str, Label], rows: Sequence[QueryCandidates], stage: str) -> System:
    """Rank one first stage's lists by the teacher's labels. Queries without a label keep the first stage's order."""
    run = {}
    for row in rows:
        candidates, label = row.of(stage), labels.get(row.query_id)
        run[row.query_id] = (
            {c.doc_id: float(-c.rank) for c in candidates} if label is None else _teacher_scores(label, candidates)
        )
    return _system("teacher", "teacher", stage, run)


def _teacher_scores(label: Label, candidates: Sequence[Candidate]) -> dict[str, float]:
    """Convert the teacher's targets of a list to scores. Unseen documents come last; ties keep the list's order."""
    labelled = {c.doc_id: c for c in label.candidates}
    ranked = [c for c in candidates if c.doc_id in labelled]
    order = sorted(ranked, key=lambda c: (labelled[c.doc_id].tier == "unseen", -labelled[c.doc_id].target, c.rank))
    return {c.doc_id: float(len(order) - place) for place, c in enumerate(order)}
