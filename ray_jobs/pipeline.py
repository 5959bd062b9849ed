"""The whole pipeline: label, explain where reasons are wanted, train, evaluate, promote.

    python -m ray_jobs.pipeline configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.pipeline configs/quickstart.yaml

Stages that are done with the same settings are skipped; one changed setting re-runs what depends on it.
"""

from __future__ import annotations

from ray_jobs import candidates, evaluate, label, promote, reason, train
from ray_jobs.run import Run, job


def main(run: Run) -> None:
    candidates.main(run)
    candidates.find_for_test(run)
    label.ask_teacher(run, ["log", "test"] if run.settings.evaluation.teacher else ["log"])
    reason.write_reasons(run)
    train.main(run)
    evaluate.main(run)
    promote.main(run)


if __name__ == "__main__":
    job(main)
