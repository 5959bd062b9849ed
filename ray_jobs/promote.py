"""Promote the winning student of the evaluation to champion in the registry.

    python -m ray_jobs.promote configs/quickstart.yaml
    python -m ray_jobs.promote configs/quickstart.yaml --list          show champion, history, other versions
    python -m ray_jobs.promote configs/quickstart.yaml --rollback      make the previous champion the champion again
    python -m ray_jobs.promote configs/quickstart.yaml --to VERSION    promote a version of the registry by hand
    python -m ray_jobs.promote configs/quickstart.yaml --add STUDENT   add a student as a challenger; keeps the champion
    python -m ray_jobs.promote configs/quickstart.yaml --push ORG/NAME   upload the champion to the Hugging Face Hub

Promotes a student only if it beats the baseline significantly and is not worse than the first stages, the pre-ranker
and its own base model. Otherwise prints the reason and what to deploy instead. If two promotions run at once, one
fails and changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

from ranking.errors import InputError
from ranking.evaluation.results import Metrics
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import PIPELINE_SETTINGS
from ray_jobs.evaluate import METRICS
from ray_jobs.evaluation.systems import locate_trained_model
from ray_jobs.tracking import hub_upload
from ray_jobs.training.quantization_fitting import quantization_of
from students import student_config
from students.student_settings import StudentSettings

READS = PIPELINE_SETTINGS
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Promote the winner of the evaluation, or print why there is none.

    Raises:
        InputError: If there is no evaluation with these settings.
    """
    stage = run.plan.evaluation
    if stage.manifest is None:
        raise InputError(f"{stage.folder.uri}: no evaluation with these settings; run ray_jobs.evaluate first")
    decision = stage.folder.read_model(METRICS, Metrics).promotion
    if not decision.promoted or decision.champion is None:
        run.progress.stage("promote", f"nothing promoted: {decision.reason}")
        return
    student = next(student for student in run.settings.students if student.name == decision.champion)
    version = version_of(run, student)
    before = run.registry.read()
    champion = run.registry.promote(locate_trained_model(run, student), version, run.settings.run, decision.reason)
    already = " already" if before is not None and champion.history == before.history else ""
    run.progress.stage("promote", f"{version} is the champion{already}")
    _show_quantization(run, version)


def rollback(run: Run) -> None:
    """Make the previous champion the champion again, if this version of the code can load it."""
    champion = run.registry.read()
    if champion is not None and len(champion.line) > 1:
        student_config.read(run.registry.folder / champion.line[-2].version)
    run.progress.stage("promote", f"{run.registry.rollback(run.settings.run).champion} is the champion again")


def show(run: Run) -> None:
    """Print the history of champions and the other versions in the registry."""
    champion = run.registry.read()
    if champion is None:
        run.progress.line("no champion yet")
        return
    for change in champion.history:
        run.progress.line(f"{change.at}  {change.action:<8}  {change.version}  {change.reason}")
    run.progress.line(f"champion: {champion.champion}")
    _show_quantization(run, champion.champion)
    others = [version for version in run.registry.versions() if version != champion.champion]
    run.progress.line(f"other versions: {', '.join(others) or 'none'}")


def _show_quantization(run: Run, version: str) -> None:
    """Print whether a version of the registry has an int8 model, and its quality. Prints nothing if it cannot load."""
    quantization = None
    with contextlib.suppress(InputError):
        quantization = quantization_of(run.registry.folder / version)
    if quantization is not None:
        run.progress.line(f"int8 {'accepted' if quantization.accepted else 'rejected'}: {quantization.numbers}")


def promote_by_hand(version: str) -> Callable[[Run], None]:
    """Return the action that promotes a version of the registry."""

    def main(run: Run) -> None:
        run.registry.checksum_of(version)  # raises InputError for an unknown version
        student_config.read(run.registry.folder / version)
        run.progress.stage(
            "promote", f"{run.registry.promote_again(version, run.settings.run).champion} is the champion"
        )

    return main


def add(name: str) -> Callable[[Run], None]:
    """Return the action that adds a student to the registry without promoting it."""

    def main(run: Run) -> None:
        students = {student.name: student for student in run.settings.students}
        if name not in students:
            raise InputError(f"argument --add: unknown student {name!r}; use one of {', '.join(students)}")
        version = version_of(run, students[name])
        run.registry.add(locate_trained_model(run, students[name]), version)
        run.progress.stage(
            "promote", f"{version} is in the registry; send it traffic with --serving.traffic.challenger {version}"
        )

    return main


def push(repository: str) -> Callable[[Run], None]:
    """Return the action that uploads the champion to a repository of the Hugging Face Hub."""

    def main(run: Run) -> None:
        champion = run.registry.read()
        if champion is None:
            raise InputError(f"argument --push: {run.registry.folder.uri}: no champion yet; run ray_jobs.promote first")
        change = champion.history[-1]
        url = hub_upload.push(run.registry, champion.champion, repository, f"{change.at}: {change.reason}")
        run.progress.stage("promote", f"{champion.champion} uploaded: {url}")

    return main


def version_of(run: Run, student: StudentSettings) -> str:
    """Return the name of a student's version in the registry."""
    return f"{student.name}-{run.plan.student(student).fingerprint}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this job has."""
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--list", action="store_true", help="Show the versions and the history of champions.")
    actions.add_argument("--rollback", action="store_true", help="Promote the champion before this one.")
    actions.add_argument("--to", metavar="VERSION", help="Promote a version of the registry.")
    actions.add_argument("--add", metavar="STUDENT", help="Add a student to the registry without promoting it.")
    actions.add_argument("--push", metavar="ORG/NAME", help="Upload the champion to the Hugging Face Hub.")


def action_of(options: argparse.Namespace) -> Callable[[Run], None]:
    """Choose the action that the command line asks for."""
    if options.to is not None:
        return promote_by_hand(options.to)
    if options.add is not None:
        return add(options.add)
    if options.push is not None:
        return push(options.push)
    if options.rollback:
        return rollback
    return show if options.list else main


if __name__ == "__main__":
    job(main, READS, exclusive=False, add_options=add_options, action_of=action_of)
