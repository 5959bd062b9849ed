r"""Evaluate students, the teacher and baselines on the judged test queries.

    python -m ray_jobs.evaluate configs/quickstart.yaml
    python -m ray_jobs.evaluate configs/quickstart.yaml --students '[]'      baselines only, no student
    python -m ray_jobs.evaluate RUN.yaml --evaluation.models \
      '[{"name": "theirs", "model": "cross-encoder/ms-marco-MiniLM-L6-v2"}]'

All re-rankers order the same candidate lists, those of `evaluation.first_stages`. The re-rankers are the pre-ranker,
the teacher, each student's base model before training, and each student, alone and blended with the first stage. TREC
runs of other systems are measured as they are, without re-ranking. Writes runs/*.trec, metrics.json, per_query.parquet,
report.html and report.md to evaluation/, and prints the table and the promotion decision.

If a collection has only one set of judgements, half of its queries are tested, or all if there are no students.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from ranking.blending import Blend
from ranking.errors import InputError
from ranking.evaluation import judgement_checks, measures, summary_table
from ranking.evaluation.comparison import PerQuery, System, as_written, measure
from ranking.evaluation.frontier import frontier_line
from ranking.evaluation.report.judge_tables import agreement_line
from ranking.evaluation.results import Metrics, SystemKind, SystemResult
from ranking.evaluation.trec_runs import TrecRun, read_run, to_trec
from ranking.languages import check_installed
from ranking.records import FUSED, Candidate, CandidateList, Label, QueryCandidates
from ranking.registry_versions import TRAIN_AGAIN
from ranking.settings import PreRankerSettings
from ranking.storage.checksums import check_files
from ranking.storage.sources import fetched
from ray_jobs import candidates, index, label
from ray_jobs.common import model_checks
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run, job, write_settings
from ray_jobs.common.run_settings import PIPELINE_SETTINGS
from ray_jobs.evaluation import calibrations, judge_answers, label_costs, systems
from ray_jobs.evaluation.judge_independence import unknown_teacher_note
from ray_jobs.evaluation.report_page import write_report
from ray_jobs.tracking import mlflow_tracking
from ray_jobs.training.blend_fitting import blend_of
from students.student_settings import StudentSettings

if TYPE_CHECKING:
    from actors.scoring.scorers import Model

METRICS, PER_QUERY = "metrics.json", "per_query.parquet"


READS = (*PIPELINE_SETTINGS, "mlflow")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Evaluate all systems, write the results and print them.

    Raises:
        InputError: If there are no judgements, a student is not trained, or the settings name an unknown baseline or a
            model that does not load.
    """
    run.check_judged(by_judge=True)
    settings = run.settings.evaluation
    measures.parse(settings.measures)
    check_baseline(run)
    judge_answers.check_judge(run)
    stage = run.plan.evaluation
    mlflow_tracking.check(run)
    if run.skip_if_finished(stage):
        metrics = stage.folder.read_model(METRICS, Metrics)
        show(run, metrics)
        mlflow_tracking.log_evaluation(run, metrics)
        return
    check_installed(run.settings.collection.language)
    asked: list[model_checks.Part] = ["test/labels"] if settings.teacher else []
    model_checks.check(run, ["test/candidates", *asked, "evaluation"])
    for student in run.settings.students:
        check_files(systems.trained_model(run, student.name), TRAIN_AGAIN)
    notes = judgement_checks.check_qrels(run.collection.qrels) if any(run.collection.qrels.values()) else []
    external = external_runs(run, notes)
    index.main(run)
    candidates.retrieve_for_test(run)
    if run.settings.pre_ranker or settings.teacher:
        index.encode_candidates(run, "test")
    if settings.teacher:
        label.ask_teacher(run, ["test"])
    run.start_ray()
    systems.check_models(run)
    rows = list(run.plan.test_candidates.folder.read_rows(QueryCandidates))
    stage.begin()
    bases, base_notes = systems.bases_of(run)
    notes += base_notes
    all_systems = first_stages(run, rows) + rerankers(run, rows, bases) + external
    for system in all_systems:
        notes += judgement_checks.check_ties(system.key, system.run)
    notes += rejection_notes(run)
    label_costs.add_label_costs(run, all_systems)
    machine = systems.time_systems(run, all_systems, rows)
    judgement = judge_answers.judge_systems(run, all_systems)
    metrics, values = measure(run.collection, all_systems, settings)
    metrics.notes += notes
    if judgement is not None:
        judgement.add_to(metrics, all_systems)
        metrics.notes += unknown_teacher_note(run)
    calibrations.add_calibrations(run, metrics)
    metrics.machine = machine
    write_results(run, metrics, values, {system.key: system.run for system in all_systems})
    stage.finish(rows_in=len(run.collection.test), rows_out=len(run.collection.test))
    show(run, metrics)
    mlflow_tracking.log_evaluation(run, metrics)


def rejection_notes(run: Run) -> list[str]:
    """Return a note on the number of test queries that the teacher rejected; empty if there are none."""
    manifest = run.plan.test_labels.manifest if run.settings.evaluation.teacher else None
    if manifest is None or not manifest.rejected:
        return []
    return [
        f"teacher: {manifest.rejected:,} of {manifest.rows_in:,} queries have no label (see rejected/) and keep the "
        "first stage's order"
    ]


def check_baseline(run: Run) -> None:
    """Check, before anything is scored, that the baseline will be one of the systems and is not a student.

    Raises:
        InputError: If the baseline is unknown or a student.
    """
    settings = run.settings.evaluation
    lists = [*(retriever.list_name for retriever in run.settings.candidates.retrievers), FUSED]
    rankings = [*_distinct_lists(lists, settings.first_stages), *(trec_run.name for trec_run in settings.runs)]
    rerankers = [*(["pre-ranker"] if run.settings.pre_ranker else []), *(["teacher"] if settings.teacher else [])]
    rerankers += [model.name for model in settings.models]
    known = [*rankings, *rerankers, *(f"{name}@{stage}" for name in rerankers for stage in settings.first_stages)]
    if settings.baseline not in known:
        raise InputError(
            f"setting 'evaluation.baseline': unknown system {settings.baseline!r}; use one of {', '.join(known)}"
        )


def write_results(run: Run, metrics: Metrics, values: PerQuery, runs: Mapping[str, TrecRun]) -> None:
    """Write all files of the evaluation. Writes metrics.json last."""
    folder = run.plan.evaluation.folder
    for key, trec in runs.items():
        (folder / "runs").write_text(f"{key}.trec", to_trec(trec, key))
    rows = [
        {"system": key, "measure": name, "query_id": query_id, "value": value}
        for key, by_measure in values.items()
        for name, per_query in by_measure.items()
        for query_id, value in per_query.items()
    ]
    folder.write_table(PER_QUERY, pa.Table.from_pylist(rows))
    write_report(run, folder, metrics, values, runs)
    folder.write_text(METRICS, metrics.to_json())


def show(run: Run, metrics: Metrics) -> None:
    """Print the judge's agreement, the table, notes, warnings, the frontier, the decision and the report's location."""
    if metrics.judge is not None:
        run.progress.stage("judge", agreement_line(metrics.judge))
    run.progress.console.print(summary_table.of(metrics))
    for line in [*metrics.notes, *metrics.warnings]:
        if line not in run.collection.notes:  # already printed when the collection was read
            run.progress.stage("note", line)
    frontier = frontier_line(metrics, run.settings.evaluation.first_stages[0])
    if frontier is not None:
        run.progress.stage("frontier", frontier)
    run.progress.stage("decision", metrics.promotion.reason)
    folder = run.plan.evaluation.folder
    run.progress.stage("report", f"{folder.uri}/report.html")


def first_stages(run: Run, rows: Sequence[QueryCandidates]) -> list[System]:
    """Make one system per retriever and, unless there is only one retriever, one of the fused lists."""
    names = _distinct_lists([named.name for named in rows[0].lists], run.settings.evaluation.first_stages)
    return [
        _system("first_stage", name, None, {row.query_id: {c.doc_id: c.score for c in row.of(name)} for row in rows})
        for name in names
    ]


def _distinct_lists(lists: Sequence[str], first_stages: Sequence[str]) -> list[str]:
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


def evaluate_alone(run: Run) -> None:
    """Evaluate outside of a pipeline. Without students, no query is kept for training: all judged ones are tested."""
    if not run.settings.students:
        run.test_all_judged()
        write_settings(run)
    main(run)


if __name__ == "__main__":
    job(evaluate_alone, READS)
