"""Run the whole pipeline: label, write rationales if configured, train, evaluate, promote.

    python -m ray_jobs.pipeline configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.pipeline RUN.yaml

With `queries.generate`, first generates the queries to label. Skips stages that are finished with the same settings. A
changed setting re-runs only the stages that depend on it.
"""

from __future__ import annotations

from ranking.records import SplitName
from ray_jobs import candidates, evaluate, generate, index, label, promote, rationales, train
from ray_jobs.common import capacity_check, model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import PIPELINE_SETTINGS
from ray_jobs.tracking import mlflow_tracking

READS = (*PIPELINE_SETTINGS, "mlflow")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Run all stages in order."""
    own_labels = not run.settings.training.labels
    of_labels: list[model_checks.Part] = ["candidates", "labels", "rationales"] if own_labels else []
    of_test: list[model_checks.Part] = ["test/labels"] if run.settings.evaluation.teacher else []
    parts: list[model_checks.Part] = [*of_labels, "test/candidates", *of_test, "students", "evaluation"]
    if run.settings.queries.generate is not None:
        model_checks.check(run, ["generated", *parts])  # fail before hours of generation
        generate.generate_queries(run)
    run.check_judged(by_judge=True)
    mlflow_tracking.check(run)
    model_checks.check(run, parts)
    if own_labels and run.plan.labels.restore() is None:
        # fail before hours of labelling if a later stage has no resources
        capacity_check.check(run, "teacher", "rationales", "training")
    if own_labels:
        candidates.main(run)
    else:
        index.main(run)
    candidates.retrieve_for_test(run)
    to_label: dict[SplitName, bool] = {"log": own_labels, "test": run.settings.evaluation.teacher}
    label.ask_teacher(run, [split for split, needed in to_label.items() if needed])
    if own_labels:
        rationales.write_rationales(run)
    train.main(run)
    evaluate.main(run)
    promote.main(run)


if __name__ == "__main__":
    job(main, READS)
