r"""Evaluate students, the teacher and baselines on the judged test queries.

    python -m ray_jobs.evaluate configs/quickstart.yaml
    python -m ray_jobs.evaluate configs/quickstart.yaml --students '[]'      baselines only, no student
    python -m ray_jobs.evaluate RUN.yaml --estimate                          cost of the judge's grades; asks nothing
    python -m ray_jobs.evaluate RUN.yaml --evaluation.models \
      '[{"name": "theirs", "model": "cross-encoder/ms-marco-MiniLM-L6-v2"}]'

All re-rankers order the same candidate lists, those of `evaluation.first_stages`. The re-rankers are the pre-ranker,
the teacher, each student's base model before training, and each student, alone and blended with the first stage. TREC
runs of other systems are measured as they are, without re-ranking. Writes runs/*.trec, metrics.json, per_query.parquet,
report.html and report.md to evaluation/, and prints the table and the promotion decision.

If a collection has only one set of judgements, half of its queries are tested, or all if there are no students.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import pyarrow as pa

from ranking.errors import InputError
from ranking.evaluation import judgement_checks, measures, summary_table
from ranking.evaluation.comparison import PerQuery, System, measure
from ranking.evaluation.frontier import frontier_line
from ranking.evaluation.report.judge_tables import agreement_line
from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import TrecRun, to_trec
from ranking.languages import check_installed
from ranking.records import FUSED, QueryCandidates
from ranking.registry_versions import TRAIN_AGAIN
from ranking.storage.checksums import check_files
from ray_jobs import candidates, index, label
from ray_jobs.common import model_checks
from ray_jobs.common.run import Run, job, write_settings
from ray_jobs.common.run_settings import PIPELINE_SETTINGS
from ray_jobs.evaluation import calibrations, judge_answers, label_costs, systems
from ray_jobs.evaluation.judge_independence import unknown_teacher_note
from ray_jobs.evaluation.report_page import write_report
from ray_jobs.evaluation.system_rankings import distinct_lists, external_runs, first_stages, rerankers
from ray_jobs.tracking import mlflow_tracking

METRICS, PER_QUERY = "metrics.json", "per_query.parquet"


READS = (*PIPELINE_SETTINGS, "mlflow")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Evaluate all systems, write the results and print them.

    Raises:
        InputError: If there are no judgements, a student is not trained, or the settings name an unknown baseline or a
            model that does not load.
    """
    _check_settings(run)
    settings, stage = run.settings.evaluation, run.plan.evaluation
    mlflow_tracking.check(run)
    if run.skip_if_finished(stage):
        metrics = stage.folder.read_model(METRICS, Metrics)
        show(run, metrics)
        mlflow_tracking.log_evaluation(run, metrics)
        return
    notes = judgement_checks.check_qrels(run.collection.qrels) if any(run.collection.qrels.values()) else []
    rows, external = prepare_rankings(run, notes)
    stage.begin()
    all_systems = rank_systems(run, rows, notes) + external
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


def show_estimate(run: Run) -> None:
    """Rank the test queries with all systems, and print what the judge's grades cost. Does not ask the judge.

    Raises:
        InputError: There is no judge that asks a model, or the teacher would have to label the test queries.
    """
    judge_answers.asking_judge(run)
    _check_settings(run)
    if run.settings.evaluation.teacher and run.plan.test_labels.finished() is None:
        raise InputError(
            "--estimate: the teacher has not labelled the test queries; set evaluation.teacher: false to leave it out"
        )
    notes: list[str] = []
    rows, external = prepare_rankings(run, notes)
    judge_answers.show_costs(run, rank_systems(run, rows, notes) + external)


def _check_settings(run: Run) -> None:
    """Check the judgements, measures, baseline and judge before anything is computed."""
    run.check_judged(by_judge=True)
    measures.parse(run.settings.evaluation.measures)
    check_baseline(run)
    judge_answers.check_judge(run)


def prepare_rankings(run: Run, notes: list[str]) -> tuple[list[QueryCandidates], list[System]]:
    """Check all models, retrieve candidates and label them for the test queries, and read the runs of other systems.

    Args:
        run: The run.
        notes: Notes on the evaluation. Appends problems of the runs.

    Returns:
        Candidate lists of the test queries, and the systems of the runs.
    """
    teacher = run.settings.evaluation.teacher
    check_installed(run.settings.collection.language)
    asked: list[model_checks.Part] = ["test/labels"] if teacher else []
    model_checks.check(run, ["test/candidates", *asked, "evaluation"])
    for student in run.settings.students:
        check_files(systems.trained_model(run, student.name), TRAIN_AGAIN)
    external = external_runs(run, notes)
    index.main(run)
    candidates.retrieve_for_test(run)
    if run.settings.pre_ranker or teacher:
        index.encode_candidates(run, "test")
    if teacher:
        label.ask_teacher(run, ["test"])
    run.start_ray()
    systems.check_models(run)
    return list(run.plan.test_candidates.folder.read_rows(QueryCandidates)), external


def rank_systems(run: Run, rows: Sequence[QueryCandidates], notes: list[str]) -> list[System]:
    """Rank the candidate lists with every system of the run. Appends notes on bases that cannot rank."""
    bases, base_notes = systems.bases_of(run)
    notes += base_notes
    return first_stages(run, rows) + rerankers(run, rows, bases)


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
    rankings = [*distinct_lists(lists, settings.first_stages), *(trec_run.name for trec_run in settings.runs)]
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


def evaluate_alone(run: Run) -> None:
    """Evaluate outside of a pipeline. Without students, no query is kept for training: all judged ones are tested."""
    _choose_tested(run)
    main(run)


def estimate_alone(run: Run) -> None:
    """Print the cost of the judge's grades, with the test queries of `evaluate_alone`."""
    _choose_tested(run)
    show_estimate(run)


def _choose_tested(run: Run) -> None:
    if not run.settings.students:
        run.test_all_judged()
        write_settings(run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this job has."""
    parser.add_argument(
        "--estimate", action="store_true", help="Rank the test queries and print the cost of the judge; ask nothing."
    )


if __name__ == "__main__":
    job(
        evaluate_alone,
        READS,
        add_options=add_options,
        action_of=lambda options: estimate_alone if options.estimate else evaluate_alone,
    )
