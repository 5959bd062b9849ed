"""From a query log to labels: select long-tail queries, retrieve candidates, pre-rank them, ask the teacher.

    python -m ray_jobs.label configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.label configs/quickstart.yaml

Writes queries/, index/, vectors/, candidates/, labels/ and rejected/ of the run's folder. A stage that is
done with the same settings is skipped; one that was cut off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.rows import CandidateList, PickedCandidate, PickedList, Split, TestLists
from ranking.records import Label
from ray_jobs import candidates, plan
from ray_jobs.run import Run, job


def main(run: Run) -> None:
    candidates.main(run)
    ask_teacher(run, ["log"])


def ask_teacher(run: Run, splits: Sequence[Split]) -> None:
    """Have the teacher rank lists, of the log to be learned from, of the test queries to be measured; one start for both."""
    stages = {split: plan.labels_stage(run, split) for split in splits}
    stages = {split: stage for split, stage in stages.items() if not run.skipped(stage)}
    if not stages:
        return
    run.start_ray()
    from actors.streaming import dataset_of, finish, not_done, write_stages
    from actors.teachers import make_teacher

    teacher = make_teacher(run.settings.teacher, run.settings.compute, plan.teacher_fingerprint(run), plan.teacher_memory(run))
    rows: dict[Split, list[Any]] = {}
    todo: dict[Split, list[Any]] = {}
    for split, stage in stages.items():
        model = CandidateList if split == "log" else TestLists
        rows[split] = list(plan.candidates_stage(run, split).folder.read_rows(model))
        stage.begin()
        todo[split] = not_done(stage, rows[split])
    shown = [_pre_ranked(run, todo["log"])] if "log" in stages else []
    shown += [dataset_of(whole_lists(run, todo["test"]), PickedList)] if "test" in stages else []
    lists = shown[0].union(*shown[1:]) if shown[1:] else shown[0]
    write_stages(stages, teacher.label(lists, run.progress), Label, sum(map(len, todo.values())), run.progress, "queries")
    tokens = teacher.tokens
    for split, stage in stages.items():
        run.done(finish(stage, len(rows[split]), tokens), "labels")
        tokens = 0  # a text that both splits hold was read once


def whole_lists(run: Run, rows: Sequence[TestLists]) -> list[PickedList]:
    """Each test query with every candidate of the lists that are re-ranked, so that each pair is scored once."""
    whole = []
    for row in rows:
        union = row.union(run.settings.evaluation.first_stages)
        picked = [PickedCandidate(candidate=candidate, pre_rank=rank, of_head=True) for rank, candidate in enumerate(union, 1)]
        whole.append(PickedList(query_id=row.query_id, split="test", text=row.text, picked=picked))
    return whole


def _pre_ranked(run: Run, rows: Sequence[Any]) -> Any:
    from actors.pre_ranker import PreRanker
    from actors.streaming import dataset_of, through_actor

    return through_actor(dataset_of(rows, CandidateList), PreRanker, (plan.vectors_memory(run), run.settings.pre_ranker))


if __name__ == "__main__":
    job(main)
