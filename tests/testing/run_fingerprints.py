"""Fingerprints of the stages of a run."""

from ray_jobs.common.run import open_run

STAGES = {
    "queries": lambda run: run.plan.queries,
    "index": lambda run: run.plan.index,
    "candidates": lambda run: run.plan.candidates,
    "test/candidates": lambda run: run.plan.test_candidates,
    "labels": lambda run: run.plan.labels,
    "test/labels": lambda run: run.plan.test_labels,
    "rationales": lambda run: run.plan.rationales,
    "student": lambda run: run.plan.student(run.settings.students[0]),
    "evaluation": lambda run: run.plan.evaluation,
    "teacher cache": None,
}

AFTER_LABELS = {"labels", "rationales", "student", "evaluation"}


def fingerprints(dataset, *overrides):
    run = open_run(
        [
            str(dataset / "run.yaml"),
            "--collection.source",
            f"beir:{dataset}",
            "--storage",
            str(dataset / "runs"),
            *overrides,
        ]
    )
    stages = {name: stage(run).fingerprint for name, stage in STAGES.items() if stage}
    return {**stages, "teacher cache": run.plan.teacher_cache.uri}
