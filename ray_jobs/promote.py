"""From the promotion decision to the registry: the winning student becomes the champion.

    python -m ray_jobs.promote configs/quickstart.yaml
    python -m ray_jobs.promote configs/quickstart.yaml --list          the champion, its history, and what else is there
    python -m ray_jobs.promote configs/quickstart.yaml --rollback      the champion before it again
    python -m ray_jobs.promote configs/quickstart.yaml --to VERSION    a version of the registry, by hand
    python -m ray_jobs.promote configs/quickstart.yaml --add STUDENT   into the registry, to be a challenger; the champion stays

A student is promoted only if it beats the baseline significantly and is not worse than the first stages, the pre-ranker and its own
base; otherwise the line says why, and what to deploy instead. Of two promotions at once one is an error, and changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ranking.errors import InputError
from ranking.evaluation.results import Metrics
from ray_jobs.common import plan
from ray_jobs.common.run import Run, job
from ray_jobs.evaluate import METRICS
from ray_jobs.evaluation.systems import trained_before
from students import student_config
from students.settings import StudentSettings


def main(run: Run) -> None:
    stage = plan.evaluation_stage(run)
    if stage.manifest is None:
        raise InputError(f"{stage.folder.uri}: there is no evaluation of these settings; run ray_jobs.evaluate first")
    verdict = Metrics.model_validate_json(stage.folder.read_text(METRICS)).verdict
    if not verdict.promoted or verdict.champion is None:
        run.progress.stage("promote", f"nothing promoted: {verdict.reason}")
        return
    student = next(student for student in run.settings.students if student.name == verdict.champion)
    version = version_of(run, student)
    held = run.registry.read()
    champion = run.registry.promote(trained_before(run, student), version, run.settings.run, verdict.reason)
    already = " already" if held is not None and champion.history == held.history else ""
    run.progress.stage("promote", f"{version} is the champion{already}")


def rollback(run: Run) -> None:
    held = run.registry.read()
    if held is not None and len(held.line) > 1:
        student_config.read(run.registry.folder / held.line[-2].version)
    run.progress.stage("promote", f"{run.registry.rollback(run.settings.run).champion} is the champion again")


def show(run: Run) -> None:
    held = run.registry.read()
    if held is None:
        run.progress.line("no champion yet")
        return
    for change in held.history:
        run.progress.line(f"{change.at}  {change.action:<8}  {change.version}  {change.reason}")
    run.progress.line(f"champion: {held.champion}")
    others = [version for version in run.registry.versions() if version != held.champion]
    run.progress.line(f"versions beside it: {', '.join(others) or 'none'}")


def promote_by_hand(version: str) -> Callable[[Run], None]:
    def main(run: Run) -> None:
        run.registry.checksum_of(version)  # one that is not known is named as such
        student_config.read(run.registry.folder / version)
        run.progress.stage(
            "promote", f"{run.registry.promote_again(version, run.settings.run).champion} is the champion"
        )

    return main


def add(name: str) -> Callable[[Run], None]:
    def main(run: Run) -> None:
        found = [student for student in run.settings.students if student.name == name]
        if not found:
            raise InputError(
                f"argument --add: no student {name!r}; there are {', '.join(student.name for student in run.settings.students)}"
            )
        version = version_of(run, found[0])
        run.registry.add(trained_before(run, found[0]), version)
        run.progress.stage(
            "promote", f"{version} is in the registry; --serving.traffic.challenger {version} lets it have traffic"
        )

    return main


def version_of(run: Run, student: StudentSettings) -> str:
    """What a student is called in the registry."""
    return f"{student.name}-{plan.student_stage(run, student).fingerprint}"


def asked(arguments: list[str]) -> tuple[Callable[[Run], None], list[str]]:
    """What the command line asks for, and its other arguments."""
    named = {
        "--to": (promote_by_hand, "a version is missing; --list shows them"),
        "--add": (add, "the name of a student is missing"),
    }
    for flag, (action_of, lacking) in named.items():
        if flag in arguments:
            place = arguments.index(flag)
            if place + 1 == len(arguments):
                print(f"error: argument {flag}: {lacking}", file=sys.stderr)
                sys.exit(2)
            return action_of(arguments[place + 1]), arguments[:place] + arguments[place + 2 :]
    actions = {"--rollback": rollback, "--list": show}
    found = [action for flag, action in actions.items() if flag in arguments]
    return (found[0] if found else main), [argument for argument in arguments if argument not in actions]


if __name__ == "__main__":
    job(*asked(sys.argv[1:]), alone=False)
