"""From the verdict to the registry: the winning student becomes the champion.

    python -m ray_jobs.promote configs/quickstart.yaml
    python -m ray_jobs.promote configs/quickstart.yaml --list          the champion and its history
    python -m ray_jobs.promote configs/quickstart.yaml --rollback      the champion before it again

A student that does not beat the control significantly is not promoted, and the line says so.
"""

from __future__ import annotations

import sys

from ranking.errors import InputError
from ranking.evaluation.results import Metrics
from ray_jobs import plan
from ray_jobs.evaluate import METRICS
from ray_jobs.run import Run, job
from ray_jobs.train import MODEL


def main(run: Run) -> None:
    stage = plan.evaluation_stage(run)
    if stage.manifest is None:
        raise InputError(f"{stage.folder.uri}: there is no evaluation of these settings; run ray_jobs.evaluate first")
    verdict = Metrics.model_validate_json(stage.folder.read_text(METRICS)).verdict
    if not verdict.promoted or verdict.champion is None:
        run.progress.stage("promote", f"nothing promoted: {verdict.reason}")
        return
    student = next(student for student in run.settings.students if student.name == verdict.champion)
    version = f"{student.name}-{plan.student_stage(run, student).fingerprint}"
    held = run.registry.read()
    if held is not None and held.champion == version:
        run.progress.stage("promote", f"{version} is the champion already")
        return
    run.registry.promote(run.folder / "students" / student.name / MODEL, version, run.settings.run, verdict.reason)
    run.progress.stage("promote", f"{version} is the champion")


def rollback(run: Run) -> None:
    run.progress.stage("promote", f"{run.registry.rollback(run.settings.run).champion} is the champion again")


def show(run: Run) -> None:
    held = run.registry.read()
    if held is None:
        run.progress.line("no champion yet")
        return
    for change in held.history:
        run.progress.line(f"{change.at}  {change.action:<8}  {change.version}  {change.reason}")
    run.progress.line(f"champion: {held.champion}")


if __name__ == "__main__":
    actions = {"--rollback": rollback, "--list": show}
    asked = [argument for argument in sys.argv[1:] if argument in actions]
    job(actions[asked[0]] if asked else main, [argument for argument in sys.argv[1:] if argument not in actions])
