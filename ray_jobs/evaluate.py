"""Students, teacher and baselines side by side on the judged test queries.

    python -m ray_jobs.evaluate configs/quickstart.yaml
    python -m ray_jobs.evaluate configs/quickstart.yaml --students '[]'      baselines alone, nothing trained
    python -m ray_jobs.evaluate RUN.yaml --evaluation.models '[{"name": "theirs", "model": "cross-encoder/ms-marco-MiniLM-L6-v2"}]'

Every re-ranker orders the same candidate lists, those of `evaluation.first_stages`: the pre-ranker, the teacher, each student's base
before training, each student alone and blended with the first stage. Runs of other systems are measured as they are. Writes evaluation/:
runs/*.trec, metrics.json, per_query.parquet, report.html and report.md; prints the table and the promotion decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.data.rows import FUSED, CandidateList, QueryCandidates
from ranking.blending import Blend
from ranking.errors import InputError
from ranking.evaluation import judgement_checks, measures, summary_table
from ranking.evaluation.comparison import PerQuery, System, as_written, measure
from ranking.evaluation.results import Metrics, SystemKind, SystemResult
from ranking.evaluation.trec_runs import TrecRun, read_run, to_trec
from ranking.records import Candidate, Label
from ranking.settings import PreRankerSettings
from ranking.storage.sources import fetched
from ray_jobs import candidates, index, label
from ray_jobs.common import plan
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run, job
from ray_jobs.evaluation import label_costs, systems
from ray_jobs.evaluation.report_page import write_report
from ray_jobs.training.blend_fitting import blend_of
from students.settings import StudentSettings

if TYPE_CHECKING:
    from actors.scoring.scorers import Model

METRICS, PER_QUERY = "metrics.json", "per_query.parquet"


def main(run: Run) -> None:
    run.check_judged()
    settings = run.settings.evaluation
    measures.parse(settings.measures)
    check_baseline(run)
    stage = plan.evaluation_stage(run)
    if run.skipped(stage):
        show(run, Metrics.model_validate_json(stage.folder.read_text(METRICS)))
        return
    for student in run.settings.students:
        systems.trained(run, student.name)
    notes = judgement_checks.check_qrels(run.collection.qrels)
    compared = runs_of_others(run, notes)
    index.main(run)
    candidates.find_for_test(run)
    index.encode_candidates(run, "test")
    if settings.teacher:
        label.ask_teacher(run, ["test"])
    run.start_ray()
    systems.check_models(run)
    rows = list(plan.candidates_stage(run, "test").folder.read_rows(QueryCandidates))
    stage.begin()
    bases, unranked = systems.bases_of(run)
    notes += unranked
    compared = first_stages(run, rows) + rerankers(run, rows, bases) + compared
    for system in compared:
        notes += judgement_checks.check_ties(system.key, system.run)
    notes += unlabelled(run)
    label_costs.note(run, compared)
    machine = systems.time_systems(run, compared, rows)
    metrics, values = measure(run.collection, compared, settings)
    metrics.notes += notes
    metrics.machine = machine
    write(run, metrics, values, {system.key: system.run for system in compared})
    stage.finish(rows_in=len(run.collection.test), rows_out=len(run.collection.test))
    show(run, metrics)


def unlabelled(run: Run) -> list[str]:
    """A note if the teacher rejected test queries."""
    manifest = plan.labels_stage(run, "test").manifest if run.settings.evaluation.teacher else None
    if manifest is None or not manifest.rejected:
        return []
    return [
        f"teacher: {manifest.rejected:,} of {manifest.rows_in:,} queries have no label (see rejected/) and keep the first stage's order"
    ]


def check_baseline(run: Run) -> None:
    """Raise InputError for a baseline that will be none of the systems, or is a student, before anything is scored."""
    settings = run.settings.evaluation
    lists = [*(retriever.called for retriever in run.settings.candidates.retrievers), FUSED]
    alone = [*_without_twins(lists, settings.first_stages), *(held.name for held in settings.runs)]
    rerankers = [*(["pre-ranker"] if run.settings.pre_ranker else []), *(["teacher"] if settings.teacher else [])]
    rerankers += [held.name for held in settings.models]
    known = [*alone, *rerankers, *(f"{name}@{stage}" for name in rerankers for stage in settings.first_stages)]
    if settings.baseline not in known:
        raise InputError(f"setting 'evaluation.baseline': {settings.baseline!r} is none of {', '.join(known)}")


def write(run: Run, metrics: Metrics, values: PerQuery, runs: Mapping[str, TrecRun]) -> None:
    """Write what was found; metrics.json last."""
    folder = plan.evaluation_stage(run).folder
    for key, trec in runs.items():
        (folder / "runs").write_text(f"{key}.trec", to_trec(trec, key))
    rows = [
        {"system": key, "measure": name, "query_id": query_id, "value": value}
        for key, held in values.items()
        for name, per_query in held.items()
        for query_id, value in per_query.items()
    ]
    folder.write_table(PER_QUERY, pa.Table.from_pylist(rows))
    write_report(run, folder, metrics, values, runs)
    folder.write_text(METRICS, metrics.model_dump_json(indent=2))


def show(run: Run, metrics: Metrics) -> None:
    """Print the table, notes and warnings, the promotion decision, and where the report is."""
    run.progress.console.print(summary_table.of(metrics))
    for line in [*metrics.notes, *metrics.warnings]:
        if line not in run.collection.notes:  # printed when it was read
            run.progress.stage("note", line)
    run.progress.stage("decision", metrics.verdict.reason)
    folder = plan.evaluation_stage(run).folder
    run.progress.stage("report", f"{folder.uri}/report.html")


def first_stages(run: Run, rows: Sequence[QueryCandidates]) -> list[System]:
    """The candidate lists as they are; the fused one of a single retriever is that retriever's, and left out."""
    names = _without_twins([found.name for found in rows[0].lists], run.settings.evaluation.first_stages)
    return [
        _system("first_stage", name, None, {row.query_id: {c.doc_id: c.score for c in row.of(name)} for row in rows})
        for name in names
    ]


def _without_twins(lists: Sequence[str], asked: Sequence[str]) -> list[str]:
    """The names of candidate lists, without the fused one where it is a single retriever's and nobody asked for it."""
    return [name for name in lists if name != FUSED or len(lists) > 2 or FUSED in asked]


def runs_of_others(run: Run, notes: list[str]) -> list[System]:
    """Read the rankings of other systems; what is odd about them is added to the notes."""
    doc_ids = {document.doc_id for document in run.collection.documents}
    systems = []
    for other in run.settings.evaluation.runs:
        with fetched(other.path) as path:
            trec = read_run(Path(path))
        notes += judgement_checks.check_run(other.name, trec, run.collection.qrels, doc_ids)
        systems.append(
            _system("run", other.name, None, {q: scores for q, scores in trec.items() if q in run.collection.qrels})
        )
    return systems


def rerankers(run: Run, rows: Sequence[QueryCandidates], bases: Sequence[StudentSettings]) -> list[System]:
    """Score all candidates, each pair once, with the pre-ranker, the teacher, the students' bases and every model.

    A student with a blend is a second system, blended with each list's own scores. Queries that the teacher rejected keep the list's order.
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
        scored.append(("pre_ranker", "pre-ranker", _pre_ranked(run, run.settings.pre_ranker, unions)))
    if run.settings.evaluation.teacher:
        labels = {label.query_id: label for label in plan.labels_stage(run, "test").folder.read_rows(Label)}
        measured += [_taught(labels, rows, stage) for stage in names]
    of_base: dict[Model, TrecRun] = {}
    for student in bases:
        name = systems.base_name(student.name)
        model = systems.model_of(run, "base", name)
        if model not in of_base:
            of_base[model] = score_lists(run, model, name, unions)
        scored.append(("base", name, of_base[model]))
    for kind, name in systems.models_of(run):
        scored.append((kind, name, score_lists(run, systems.model_of(run, kind, name), name, unions)))
    blends = {student.name: blend_of(systems.trained(run, student.name)) for student in run.settings.students}
    for kind, name, scores in scored:
        for stage in names:
            lists = {row.query_id: row.of(stage) for row in rows}
            alone = {q: _kept(scores.get(q, {}), found) for q, found in lists.items()}
            student_name = next(
                (student.name for student in bases if kind == "base" and systems.base_name(student.name) == name), None
            )
            measured.append(_system(kind, name, stage, alone, student_name))
            blend = blends.get(name) if kind == "student" else None
            if blend is not None:
                joined = {q: blended_list(blend, alone[q], found) for q, found in lists.items()}
                measured.append(_system("blended", f"{name}.blended", stage, joined, name))
    return sorted(measured, key=lambda system: system.result.kind not in ("pre_ranker", "teacher"))


def blended_list(blend: Blend, scores: Mapping[str, float], found: Sequence[Candidate]) -> dict[str, float]:
    """Blend a student's scores of one list with the list's own."""
    first_stage = [candidate.score for candidate in found]
    joined = blend.apply([scores[candidate.doc_id] for candidate in found], first_stage)
    return {candidate.doc_id: score for candidate, score in zip(found, joined, strict=True)}


def _system(kind: SystemKind, name: str, candidates: str | None, run: TrecRun, student: str | None = None) -> System:
    return System(
        SystemResult(kind=kind, system=name, candidates=candidates, measures={}, student=student), as_written(run)
    )


def _kept(scores: Mapping[str, float], found: Sequence[Candidate]) -> dict[str, float]:
    return {c.doc_id: scores[c.doc_id] for c in found if c.doc_id in scores}


def _pre_ranked(run: Run, settings: PreRankerSettings, unions: Sequence[CandidateList]) -> TrecRun:
    import ray

    from actors.retrieval.pre_ranking import PreRanker

    ranker = ray.remote(PreRanker).options(num_cpus=1).remote(plan.embedding_cache(run), settings)
    scores = ray.get([ranker.scores.remote(row.text, row.candidates) for row in unions])
    return {
        row.query_id: {c.doc_id: s for c, s in zip(row.candidates, found, strict=True)}
        for row, found in zip(unions, scores, strict=True)
    }


def _taught(labels: Mapping[str, Label], rows: Sequence[QueryCandidates], stage: str) -> System:
    """The teacher's ranking of one first stage's lists; queries that it rejected keep the list's order."""
    run = {}
    for row in rows:
        found, label = row.of(stage), labels.get(row.query_id)
        run[row.query_id] = {c.doc_id: float(-c.rank) for c in found} if label is None else _by_teacher(label, found)
    return _system("teacher", "teacher", stage, run)


def _by_teacher(label: Label, found: Sequence[Candidate]) -> dict[str, float]:
    """The teacher's order of one list. Documents of equal target, and after them unseen ones, keep the list's order."""
    judged = {c.doc_id: c for c in label.candidates}
    kept = [c for c in found if c.doc_id in judged]
    order = sorted(kept, key=lambda c: (judged[c.doc_id].tier == "unseen", -judged[c.doc_id].target, c.rank))
    return {c.doc_id: float(len(order) - place) for place, c in enumerate(order)}


if __name__ == "__main__":
    job(main)
