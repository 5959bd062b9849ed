"""From a query log to labels: select long-tail queries, retrieve candidates, pre-rank them, ask the teacher.

    python -m ray_jobs.label configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.label configs/quickstart.yaml

Writes queries/, index/, vectors/, candidates/, labels/ and rejected/ of the run's folder. A stage that is
done with the same settings is skipped; one that was cut off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.rows import CandidateList, Split, TestLists
from ranking.records import Label
from ranking.stages import Stage
from ray_jobs import candidates, plan
from ray_jobs.run import Run, job

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.teachers import Teacher


def main(run: Run) -> None:
    candidates.main(run)
    ask_teacher(run, ["log"])


def ask_teacher(run: Run, splits: Sequence[Split], teacher: Teacher | None = None) -> None:
    """Have the teacher rank lists, of the log to be learned from, of the test queries to be measured; one start for both.

    teacher: one that is made already; else the settings' own.
    """
    stages = {split: plan.labels_stage(run, split) for split in splits}
    stages = {split: stage for split, stage in stages.items() if not run.skipped(stage)}
    if not stages:
        return
    run.start_ray()
    from actors.streaming import finish, forget_rejections, write_stages
    from actors.teachers import make_teacher
    from actors.teachers.deaths import Deaths

    teacher = teacher or make_teacher(run.settings.teacher, run.settings.compute, plan.teacher_fingerprint(run), plan.teacher_memory(run))
    Deaths(plan.teacher_memory(run)).forget()
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
        run.done(finish(stage, rows[split], tokens[split]), "labels")


def _shown(run: Run, split: Split, stage: Stage) -> tuple[Dataset, int, int]:
    """What the teacher is shown of the lists that it has not labelled; how many lists there are, and how many are left."""
    from actors.picking import PreRanker, all_candidates, all_of_test
    from actors.streaming import parts_of, through_actor

    settings = run.settings
    model = CandidateList if split == "log" else TestLists
    lists, rows, left = parts_of(plan.candidates_stage(run, split).folder, model, without=stage)
    if split == "test":
        return (
            lists.map_batches(all_of_test, fn_args=(settings.evaluation.first_stages,), batch_format="pyarrow", batch_size=None),
            rows,
            left,
        )
    if settings.pre_ranker is None:
        return lists.map_batches(all_candidates, batch_format="pyarrow", batch_size=None), rows, left
    return through_actor(lists, PreRanker, (plan.vectors_memory(run), settings.pre_ranker)), rows, left


if __name__ == "__main__":
    job(main)
