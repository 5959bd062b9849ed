"""A listwise teacher on a sample: is it in form, does it do anything, does it agree with itself, is it right?

    python -m ray_jobs.audit configs/quickstart.yaml --teacher '{"kind": "listwise", "model": "path/or/hub-id"}'

Asks for a sample of the log's lists, and for the test queries' where there are judgements, once in each of
`audit.orders` orders. Its answers are kept: labelling does not pay for them again. Of a recorded teacher, all recorded answers are
audited. Writes audit/ of the run's folder: audit.json and position.svg.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.data.rows import PreRankedList
from actors.settings import ListwiseTeacherSettings, PointwiseTeacherSettings, RecordedTeacherSettings
from ranking.audit.audit_report import Audit, audit
from ranking.audit.audit_text import text_of
from ranking.audit.picture import svg_of
from ranking.errors import InputError
from ranking.labels.recorded_rankings import is_answers, read_answers
from ranking.prompts import load_prompt
from ranking.storage.sources import fetched
from ray_jobs import candidates, label
from ray_jobs.common import plan
from ray_jobs.common.run import Run, job

if TYPE_CHECKING:
    from ranking.audit.shown_answers import ShownAnswer

AUDIT, PICTURE = "audit.json", "position.svg"


def main(run: Run) -> None:
    settings = run.settings.teacher
    if isinstance(settings, PointwiseTeacherSettings):
        raise InputError(
            "setting 'teacher.kind': an audit reads answers of a listwise teacher; a pointwise one gives scores"
        )
    if isinstance(settings, ListwiseTeacherSettings):
        if settings.window is not None:
            raise InputError("setting 'teacher.window': an audit asks in one prompt; leave the window out")
        candidates.main(run)
        candidates.find_for_test(run)
    stage = plan.audit_stage(run)
    if not run.skipped(stage):
        stage.begin()
        answers = (
            ask_sample(run, settings) if isinstance(settings, ListwiseTeacherSettings) else recorded(run, settings)
        )
        found = audit(answers, shuffled=True, seed=run.settings.audit.seed)
        stage.folder.write_text(AUDIT, found.model_dump_json(indent=2))
        name = settings.model if isinstance(settings, ListwiseTeacherSettings) else Path(settings.path).name
        stage.folder.write_text(PICTURE, svg_of(found, name))
        stage.finish(rows_in=found.answers, rows_out=found.answers)
    show(run, Audit.model_validate_json(stage.folder.read_text(AUDIT)))


def ask_sample(run: Run, settings: ListwiseTeacherSettings) -> list[ShownAnswer]:
    """Draw lists, ask for each in several orders, once each, and read what the teacher says."""
    run.start_ray()
    from actors.data.streaming import dataset_of
    from actors.teachers import make_teacher
    from actors.teachers.answer_sample import shown_answers
    from actors.vllm.crash_log import CrashLog

    memory = plan.teacher_cache(run)
    asked = settings.model_copy(update={"orders": run.settings.audit.orders, "max_attempts": 1})
    lists = sample(run)
    most, longest = load_prompt(settings.prompt_file).most, max(len(row.picked) for row in lists)
    if most is not None and longest > most:
        raise InputError(
            f"setting 'pre_ranker': an audit needs one prompt per list, and the prompt shows at most {most} documents, not {longest}; "
            "set pre_ranker.top and bottom"
        )
    CrashLog(memory).forget()
    teacher = make_teacher(asked, run.settings.compute, plan.teacher_fingerprint(run), memory)
    outcomes = teacher.label(dataset_of(lists, PreRankedList, 4)).select_columns(["query_id"])
    with run.progress.bar("audit", len(lists), "lists") as bar:
        for batch in outcomes.iter_batches(batch_size=None, batch_format="pyarrow"):
            bar.advance(batch.num_rows)
    return shown_answers(memory, asked, lists, run.collection.qrels)


def recorded(run: Run, settings: RecordedTeacherSettings) -> list[ShownAnswer]:
    """Read every recorded answer. Raises InputError for a file that does not say what the teacher was shown."""
    from ranking.audit.shown_answers import ShownAnswer

    with fetched(settings.path) as path:
        if not is_answers(path):
            raise InputError(
                f"setting 'teacher.path': {settings.path} does not name the documents of each prompt; an audit needs recorded answers"
            )
        lists = read_answers(path)
    return [
        ShownAnswer(query_id, len(one.shown), one.answer, tuple(one.shown), run.collection.qrels.get(query_id))
        for query_id, orders in lists.items()
        for one in orders
        if one.shown is not None and one.answer is not None
    ]


def sample(run: Run) -> list[PreRankedList]:
    """Lists of the log and judged lists of the test queries, picked as labelling picks them."""
    settings = run.settings.audit
    drawn = label.drawn_lists(run, "log", settings.lists, settings.seed) + label.drawn_lists(
        run, "test", settings.lists, settings.seed
    )
    if not drawn:
        raise InputError("audit: there are no candidate lists to draw from")
    return drawn


def show(run: Run, found: Audit) -> None:
    """Print the audit."""
    for line in text_of(found).splitlines():
        run.progress.line(line)
    run.progress.stage("picture", (plan.audit_stage(run).folder / PICTURE).uri)


if __name__ == "__main__":
    job(main)
