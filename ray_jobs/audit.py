"""Audit a listwise teacher on a sample: format errors, reordering, self-consistency, position bias, ranking quality.

    python -m ray_jobs.audit configs/quickstart.yaml --teacher '{"kind": "listwise", "model": "path/or/hub-id"}'

Reordering means: does the teacher change the order of the prompt at all? The teacher ranks a sample of the log's
candidate lists, and of the test queries' lists if there are judgements, each in `audit.orders` prompt orders. Labelling
reuses these answers from the response cache. For a recorded teacher, all recorded answers are audited. Writes
audit.json and position.svg to audit/ in the run's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.audit.audit_report import Audit, audit
from ranking.audit.audit_text import format_audit
from ranking.audit.picture import svg_of
from ranking.errors import InputError
from ranking.labels.recorded_rankings import is_answers, read_answers
from ranking.prompts import load_prompt
from ranking.records import PreRankedList
from ranking.storage.sources import fetched
from ray_jobs import candidates, label
from ray_jobs.common import model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS

if TYPE_CHECKING:
    from ranking.audit.shown_answers import ShownAnswer

AUDIT, PICTURE = "audit.json", "position.svg"


READS = (*CANDIDATE_SETTINGS, "teacher", "audit", "compute")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Audit the teacher, write the results and print them.

    Raises:
        InputError: If the teacher cannot be audited: it is neither listwise nor recorded, uses a window, or its
            recording does not show the documents of each prompt.
    """
    settings = run.settings.teacher
    if not isinstance(settings, ListwiseTeacherSettings | RecordedTeacherSettings):
        raise InputError(
            f"setting 'teacher.kind': an audit needs a listwise or recorded teacher, not a {settings.kind} one"
        )
    if isinstance(settings, ListwiseTeacherSettings):
        if settings.window is not None:
            raise InputError("setting 'teacher.window': an audit needs one prompt per list; remove the window")
        model_checks.check(run, ["candidates", "test/candidates", "audit"])
        candidates.main(run)
        candidates.retrieve_for_test(run)
    stage = run.plan.audit
    if not run.skip_if_finished(stage):
        stage.begin()
        answers = (
            sample_answers(run, settings)
            if isinstance(settings, ListwiseTeacherSettings)
            else recorded_answers(run, settings)
        )
        report = audit(answers, shuffled=True, seed=run.settings.audit.seed)
        stage.folder.write_text(AUDIT, report.to_json())
        stage.folder.write_text(PICTURE, picture_of(report, settings))
        stage.finish(rows_in=report.answers, rows_out=report.answers)
    show(run, stage.folder.read_model(AUDIT, Audit))


def picture_of(report: Audit, settings: ListwiseTeacherSettings | RecordedTeacherSettings) -> str:
    """Draw the audit of a teacher as SVG."""
    return svg_of(report, settings.model if isinstance(settings, ListwiseTeacherSettings) else Path(settings.path).name)


def sample_answers(run: Run, settings: ListwiseTeacherSettings) -> list[ShownAnswer]:
    """Let the teacher rank a sample of lists, once in each prompt order.

    Raises:
        InputError: If there are no lists, or a list does not fit into one prompt.
    """
    run.start_ray()
    from actors.data.arrow_blocks import tables_in
    from actors.data.streaming import dataset_of
    from actors.teachers import make_teacher
    from actors.teachers.listwise.answer_sample import shown_answers
    from actors.vllm.crash_log import CrashLog
    from ray_jobs.common.hosted_ends import check_remaining, prepare

    cache = run.plan.teacher_cache
    single_attempt = settings.model_copy(update={"orders": run.settings.audit.orders, "max_attempts": 1})
    lists = sample_lists(run)
    max_documents, longest = load_prompt(settings.prompt_file).max_documents, max(len(row.picked) for row in lists)
    if max_documents is not None and longest > max_documents:
        raise InputError(
            f"setting 'pre_ranker': an audit needs one prompt per list, but lists have up to {longest} documents and "
            f"the prompt at most {max_documents}; lower pre_ranker.top or bottom"
        )
    CrashLog(cache).forget()
    teacher = make_teacher(single_attempt, run.settings.compute, run.plan.teacher_fingerprint, cache)
    prepare(run, teacher)
    outcomes = teacher.label(dataset_of(lists, PreRankedList, 4)).select_columns(["query_id"])
    remaining = len(lists)
    with run.progress.bar("audit", len(lists), "lists") as bar:
        for batch in tables_in(outcomes):
            bar.advance(batch.num_rows)
            remaining -= batch.num_rows
    check_remaining(run, teacher, remaining, "lists")
    return shown_answers(cache, single_attempt, lists, run.collection.qrels)


def recorded_answers(run: Run, settings: RecordedTeacherSettings) -> list[ShownAnswer]:
    """Read all answers of a recorded teacher.

    Raises:
        InputError: If the file does not name the documents of each prompt.
    """
    from ranking.audit.shown_answers import ShownAnswer

    with fetched(settings.path) as path:
        if not is_answers(path):
            raise InputError(
                f"setting 'teacher.path': {settings.path} has no documents per prompt; use recorded answers (.jsonl)"
            )
        lists = read_answers(path)
    return [
        ShownAnswer(query_id, len(order.shown), order.answer, tuple(order.shown), run.collection.qrels.get(query_id))
        for query_id, orders in lists.items()
        for order in orders
        if order.shown is not None and order.answer is not None
    ]


def sample_lists(run: Run) -> list[PreRankedList]:
    """Sample candidate lists of the log and of the judged test queries, pre-ranked as for labelling."""
    settings = run.settings.audit
    lists = label.sample_lists(run, "log", settings.lists, settings.seed) + label.sample_lists(
        run, "test", settings.lists, settings.seed
    )
    if not lists:
        raise InputError("audit: there are no candidate lists to sample")
    return lists


def show(run: Run, report: Audit) -> None:
    """Print the audit."""
    for line in format_audit(report).splitlines():
        run.progress.line(line)
    run.progress.stage("picture", (run.plan.audit.folder / PICTURE).uri)


if __name__ == "__main__":
    job(main, READS)
