"""From a query log to labels: select long-tail queries, retrieve candidates, pre-rank them, ask the teacher.

    python -m ray_jobs.label configs/quickstart.yaml
    python -m ray_jobs.label configs/listwise.yaml --estimate      prompts, tokens, hours and cost; asks nothing
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.label configs/quickstart.yaml

Writes queries/, index/, vectors/, candidates/, labels/ and rejected/ of the run's folder. A stage that is
done with the same settings is skipped; one that was cut off goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.data.rows import CandidateList, PreRankedList, QueryCandidates, SplitName, records, table_of
from ranking.errors import InputError
from ranking.records import Label
from ranking.runs.stages import Stage
from ray_jobs import candidates, index
from ray_jobs.common import capacity_check, plan
from ray_jobs.common.run import Run, job

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.teachers import Teacher

ESTIMATED_LISTS = 200


def main(run: Run) -> None:
    candidates.main(run)
    ask_teacher(run, ["log"])


def show_estimate(run: Run) -> None:
    """Print what labelling will take, by a sample of the lists and the teacher's tokenizer; the teacher is not asked."""
    from actors.data.parts import count_rows
    from actors.teachers.prompt_costs import costs_of
    from ranking.labels.cost_estimate import estimate, text_of

    candidates.main(run)
    compute = run.settings.compute
    lists = count_rows(plan.candidates_stage(run).folder)
    sample = drawn_lists(run, "log", ESTIMATED_LISTS, run.settings.queries.seed, _validation(run))
    if not sample:
        raise InputError("there are no candidate lists to estimate from")
    found = estimate(
        costs_of(run.settings.teacher, sample), lists, compute.engine_tokens_per_second, compute.engine_hour_price
    )
    for line in text_of(found).splitlines():
        run.progress.line(line)


def drawn_lists(
    run: Run, split: SplitName, lists: int, seed: int, validation: tuple[float, int] = (0.0, 0)
) -> list[PreRankedList]:
    """Draw lists as the teacher is shown them; those of test queries are drawn from the fused first stage and picked like the log's.

    validation: fraction and seed of the validation queries, whose whole lists are shown.
    """
    from actors.data.parts import sample_rows
    from actors.retrieval.pre_ranking import PreRanker, all_candidates

    rows = sample_rows(plan.candidates_stage(run, split).folder, lists, seed)
    if rows is None:
        return []
    drawn = records(rows, CandidateList) if split == "log" else [row.fused() for row in records(rows, QueryCandidates)]
    pick = (
        PreRanker(plan.embedding_cache(run), run.settings.pre_ranker, validation)
        if run.settings.pre_ranker
        else all_candidates
    )
    return records(pick(table_of([row for row in drawn if row.candidates], CandidateList)), PreRankedList)


def ask_teacher(run: Run, splits: Sequence[SplitName], teacher: Teacher | None = None) -> None:
    """Have the teacher rank lists, of the log to be learned from, of the test queries to be measured; one start for both.

    teacher: one that is made already; else the settings' own.
    """
    stages = {split: plan.labels_stage(run, split) for split in splits}
    stages = {split: stage for split, stage in stages.items() if not run.skipped(stage)}
    if not stages:
        return
    capacity_check.check(run, "teacher")
    if "log" in stages:
        index.encode_candidates(run, "log")
    from actors.data.streaming import finish, forget_rejections, write_stages
    from actors.teachers import make_teacher
    from actors.vllm.crash_log import CrashLog

    teacher = teacher or make_teacher(
        run.settings.teacher, run.settings.compute, plan.teacher_fingerprint(run), plan.teacher_cache(run)
    )
    _note_unknown(run, teacher)
    CrashLog(plan.teacher_cache(run)).forget()
    shown, rows, todo = [], {}, 0
    for split, stage in stages.items():
        stage.begin()
        forget_rejections(stage)
        lists, rows[split], left = _shown(run, split, stage)
        shown.append(lists)
        todo += left
    lists = shown[0].union(*shown[1:]) if shown[1:] else shown[0]
    tokens = write_stages(stages, teacher.label(lists), Label, todo, run.progress, "queries")
    for split, stage in stages.items():
        engines = run.settings.compute.teacher_engines if teacher.actor is not None else None
        run.done(finish(stage, rows[split], tokens[split], engines), "labels")


def _validation(run: Run) -> tuple[float, int]:
    """Fraction and seed of the validation queries."""
    return run.settings.training.validation_fraction, run.settings.queries.seed


def _note_unknown(run: Run, teacher: Teacher) -> None:
    """Report recorded documents that the collection lacks; they are skipped. Raises InputError if it lacks all of them."""
    from actors.teachers.recorded_teacher import RecordedTeacher

    if isinstance(teacher, RecordedTeacher) and run.settings.candidates.given is None:
        unknown = teacher.unknown({document.doc_id for document in run.collection.documents})
        if unknown:
            run.progress.stage("teacher", f"{unknown:,} recorded documents are not in the collection; they are skipped")


def _shown(run: Run, split: SplitName, stage: Stage) -> tuple[Dataset, int, int]:
    """What the teacher is shown of the lists that it has not labelled; how many lists there are, and how many are left."""
    from actors.data.streaming import parts_of, through_actor
    from actors.retrieval.pre_ranking import PreRanker, all_candidates, all_of_test

    settings = run.settings
    model = CandidateList if split == "log" else QueryCandidates
    lists, rows, left = parts_of(plan.candidates_stage(run, split).folder, model, without=stage)
    if split == "test":
        return (
            lists.map_batches(
                all_of_test, fn_args=(settings.evaluation.first_stages,), batch_format="pyarrow", batch_size=None
            ),
            rows,
            left,
        )
    if settings.pre_ranker is None:
        return lists.map_batches(all_candidates, batch_format="pyarrow", batch_size=None), rows, left
    return (
        through_actor(lists, PreRanker, (plan.embedding_cache(run), settings.pre_ranker, _validation(run))),
        rows,
        left,
    )


if __name__ == "__main__":
    job(
        show_estimate if "--estimate" in sys.argv else main,
        [argument for argument in sys.argv[1:] if argument != "--estimate"],
    )
