"""Students, teacher and baselines side by side on the judged test queries.

    python -m ray_jobs.evaluate configs/quickstart.yaml
    python -m ray_jobs.evaluate configs/quickstart.yaml --students '[]'      baselines alone, nothing trained

Every re-ranker orders the same candidate lists, those of `evaluation.first_stages`. Writes evaluation/:
runs/*.trec and metrics.json; prints the table and the verdict.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.rows import CandidateList, TestLists
from ranking.errors import InputError
from ranking.evaluation import measures, significance, table, verdict
from ranking.evaluation.results import ComparisonResult, Latency, Metrics, SystemKind, SystemResult, system_key
from ranking.evaluation.runs import Run as TrecRun
from ranking.evaluation.runs import to_trec
from ranking.records import Label
from ranking.settings import PreRankerSettings
from ray_jobs import candidates, index, label, plan
from ray_jobs.run import Run, job
from ray_jobs.train import MODEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ranking.records import Candidate

METRICS = "metrics.json"
FirstStages = dict[str, dict[str, list["Candidate"]]]
"""{first stage: {query_id: candidates, best first}}"""


@dataclass
class Scored:
    """One system's scores of every candidate of every test query, and how long a query took."""

    kind: SystemKind
    scores: TrecRun
    seconds: list[float] = field(default_factory=list)


def main(run: Run) -> None:
    run.check_judged()
    settings = run.settings.evaluation
    measures.parse(settings.measures)
    stage = plan.evaluation_stage(run)
    if run.skipped(stage):
        show(run, Metrics.model_validate_json(stage.folder.read_text(METRICS)))
        return
    index.main(run)
    candidates.find_for_test(run)
    if settings.teacher:
        label.ask_teacher(run, ["test"])
    run.start_ray()
    rows = list(plan.candidates_stage(run, "test").folder.read_rows(TestLists))
    lists = {found.name: {row.query_id: row.of(found.name) for row in rows} for found in rows[0].lists}
    stage.begin()
    scored = rerankers(run, rows)
    metrics = measure(run, lists, scored)
    stage.folder.write_text(METRICS, metrics.model_dump_json(indent=2))
    stage.finish(rows_in=len(run.collection.test), rows_out=len(run.collection.test))
    show(run, metrics)


def rerankers(run: Run, rows: Sequence[TestLists]) -> dict[str, Scored]:
    """Have the pre-ranker, the teacher and every student score all candidates, each pair once."""
    names = run.settings.evaluation.first_stages
    unions = [CandidateList(query_id=row.query_id, text=row.text, candidates=union) for row in rows if (union := row.union(names))]
    scored = {"pre-ranker": _pre_ranker(run, run.settings.pre_ranker, unions)} if run.settings.pre_ranker else {}
    if run.settings.evaluation.teacher:
        scored["teacher"] = _teacher(run)
    for student in run.settings.students:
        scored[student.name] = scored_by(run, student.name, unions)
    return scored


def measure(run: Run, lists: FirstStages, scored: dict[str, Scored]) -> Metrics:
    """Measure the candidate lists and every re-ranking of them, write the runs, compare with the control."""
    settings, qrels = run.settings.evaluation, run.collection.qrels
    runs: dict[str, tuple[SystemResult, TrecRun]] = {}

    def add(kind: SystemKind, system: str, candidates: str | None, trec: TrecRun, seconds: list[float], count: int) -> None:
        latency = (
            Latency(p50=1000 * statistics.median(seconds), p95=1000 * sorted(seconds)[int(0.95 * (len(seconds) - 1))]) if seconds else None
        )
        result = SystemResult(
            kind=kind,
            system=system,
            candidates=candidates,
            measures={},
            documents_per_second=count / sum(seconds) if seconds else None,
            latency_ms=latency,
        )
        runs[system_key(system, candidates)] = (result, trec)

    for name, per_query in lists.items():
        add("first_stage", name, None, {q: {c.doc_id: c.score for c in found} for q, found in per_query.items()}, [], 0)
    for system, held in scored.items():
        for name in settings.first_stages:
            trec = {
                q: {c.doc_id: held.scores[q][c.doc_id] for c in found if c.doc_id in held.scores.get(q, {})}
                for q, found in lists[name].items()
            }
            add(held.kind, system, name, trec, held.seconds, sum(map(len, held.scores.values())))

    values = {key: measures.per_query(qrels, trec, [*settings.measures, measures.JUDGED]) for key, (_, trec) in runs.items()}
    folder = plan.evaluation_stage(run).folder / "runs"
    for key, (result, trec) in runs.items():
        result.measures = {name: measures.mean(per_query) for name, per_query in values[key].items()}
        folder.write_text(f"{key}.trec", to_trec(trec, key))
    control = settings.control if settings.control in runs else system_key(settings.control, settings.first_stages[0])
    if control not in runs:
        raise InputError(f"setting 'evaluation.control': {settings.control!r} is none of {', '.join(runs)}")
    systems = {key: result for key, (result, _) in runs.items()}
    comparisons = []
    for key in systems:
        for name in settings.measures if key != control else []:
            found = significance.compare(values[key][name], values[control][name], settings.permutations, settings.seed)
            comparisons.append(
                ComparisonResult(system=key, control=control, measure=name, delta=found.delta, p=found.p, interval=found.interval)
            )
    decision = verdict.decide(systems, comparisons, settings.first_stages[0], control, settings.significance)
    collection = run.collection
    return Metrics(
        collection=collection.name,
        split=settings.split,
        queries=len(qrels),
        systems=systems,
        comparisons=comparisons,
        verdict=decision,
        notes=collection.notes,
    )


def show(run: Run, metrics: Metrics) -> None:
    """Print the table and the verdict."""
    run.progress.console.print(table.of(metrics))
    run.progress.stage("verdict", metrics.verdict.reason)


def _pre_ranker(run: Run, settings: PreRankerSettings, unions: list[CandidateList]) -> Scored:
    import ray

    from actors.picking import PreRanker

    ranker = ray.remote(PreRanker).options(num_cpus=1).remote(plan.vectors_memory(run), settings)
    scores = ray.get([ranker.scores.remote(row.text, row.candidates) for row in unions])
    return Scored("pre_ranker", {row.query_id: _by_id(row, found) for row, found in zip(unions, scores, strict=True)})


def _teacher(run: Run) -> Scored:
    """Read the teacher's ranking of the test lists; what it rejected stays unranked."""
    labels = plan.labels_stage(run, "test").folder.read_rows(Label)
    return Scored("teacher", {label.query_id: {c.doc_id: c.target for c in label.candidates} for label in labels})


def scored_by(run: Run, name: str, unions: list[CandidateList]) -> Scored:
    """Have a trained student score candidate lists. Raises InputError where it is not trained."""
    from actors.scorer import ListScorer
    from actors.streaming import dataset_of, through_actor

    model = run.folder / "students" / name / MODEL
    if not model.exists():
        raise InputError(f"{model.uri}: student {name!r} is not trained; run ray_jobs.train first")
    rows = through_actor(dataset_of(unions, CandidateList, 4), ListScorer, (model,), run.settings.compute.cpu_actors, 4)
    scored = Scored("student", {})
    with run.progress.bar(name, len(unions), "queries") as bar:
        for row in rows.iter_rows():
            scored.scores[row["query_id"]] = dict(zip(row["doc_ids"], row["scores"], strict=True))
            scored.seconds.append(row["seconds"])
            bar.advance()
    return scored


def _by_id(row: CandidateList, scores: list[float]) -> dict[str, float]:
    return {c.doc_id: score for c, score in zip(row.candidates, scores, strict=True)}


if __name__ == "__main__":
    job(main)
