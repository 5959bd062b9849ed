"""Label a query log: select long-tail queries, retrieve candidates, pre-rank them, and let the teacher label them.

    python -m ray_jobs.label configs/quickstart.yaml
    python -m ray_jobs.label configs/listwise.yaml --estimate      print prompts, tokens, hours, cost; no labels
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.label RUN.yaml

Writes queries/, index/, vectors/, candidates/, labels/ and rejected/ in the run's folder. Skips stages that are
finished with the same settings, and resumes an interrupted stage.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from actors.data.rows import records, table_of
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.errors import InputError
from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList, Label, PreRankedList, QueryCandidates, SplitName, TokenCounts
from ranking.runs.stages import Stage
from ranking.storage.folder import Folder
from ranking.token_prices import TokenPrices
from ray_jobs import candidates, index
from ray_jobs.common import capacity_check, model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.teachers import Teacher

READS = (*CANDIDATE_SETTINGS, "teacher", "training", "evaluation", "compute")
"""Settings that this job reads."""

_SHOWN_REASONS, _REASON_CHARACTERS = 3, 200
"""Maximum number of reasons to show if all lists are rejected, and of characters of each."""
ESTIMATED_LISTS = 200
"""Lists to sample for the cost estimate."""


def main(run: Run) -> None:
    """Retrieve candidates for the query log and label them."""
    model_checks.check(run, ["candidates", "labels"])
    candidates.main(run)
    ask_teacher(run, ["log"])


def show_estimate(run: Run) -> None:
    """Estimate the cost of labelling from a sample of the lists and the teacher's tokenizer, and print it.

    Does not run the teacher.

    Raises:
        InputError: If there are no candidate lists.
    """
    from actors.data.parts import count_rows
    from actors.teachers.prompt_costs import costs_of
    from ranking.hosted_settings import rates_of
    from ranking.labels.cost_estimate import estimate, format_estimate

    model_checks.check(run, ["candidates", "labels"])
    candidates.main(run)
    compute = run.settings.compute
    lists = count_rows(run.plan.candidates.folder)
    sample = sample_lists(run, "log", ESTIMATED_LISTS, run.settings.queries.seed, _validation(run))
    if not sample:
        raise InputError("estimate: there are no candidate lists")
    teacher = run.settings.teacher
    costs = estimate(
        costs_of(teacher, sample), lists, compute.engine_tokens_per_second, compute.engine_hour_price, rates_of(teacher)
    )
    for line in format_estimate(costs).splitlines():
        run.progress.line(line)


def sample_lists(
    run: Run, split: SplitName, lists: int, seed: int, validation: tuple[float, int] = (0.0, 0)
) -> list[PreRankedList]:
    """Sample candidate lists and pre-rank them as for labelling.

    For test queries, samples from the fused lists, and pre-ranks them like lists of the log.

    Args:
        run: The run.
        split: The queries to sample from: `log` or `test`.
        lists: Maximum number of lists.
        seed: Seed of the sample.
        validation: Fraction and seed that select validation queries. The teacher sees all candidates of these queries.
    """
    from actors.data.parts import sample_rows
    from actors.retrieval.best_passages import PassageSelector
    from actors.retrieval.pre_ranking import PreRanker, all_candidates

    rows = sample_rows(run.plan.candidates_of(split).folder, lists, seed)
    if rows is None:
        return []
    sample = records(rows, CandidateList) if split == "log" else [row.fused() for row in records(rows, QueryCandidates)]
    settings = run.settings
    pre_rank = (
        PreRanker(run.plan.embedding_cache, settings.pre_ranker, validation, settings.passages)
        if settings.pre_ranker
        else all_candidates
    )
    lists = pre_rank(table_of([row for row in sample if row.candidates], CandidateList))
    if settings.pre_ranker is None and settings.passages is not None:
        lists = PassageSelector(*passage_selection(run, settings.passages))(lists)
    return records(lists, PreRankedList)


def passage_selection(run: Run, passages: PassageSettings) -> tuple[Folder, str, str | None, PassageSettings]:
    """Return the arguments of `PassageSelector`, which selects passages for lists that are not pre-ranked."""
    encoder = run.settings.candidate_encoder
    assert encoder is not None
    return run.plan.embedding_cache, *encoder, passages


def ask_teacher(run: Run, splits: Sequence[SplitName], teacher: Teacher | None = None) -> None:
    """Let the teacher label the candidate lists of one or both splits. Starts the teacher's engines only once.

    Args:
        run: The run.
        splits: Splits to label: `log` for training, `test` to evaluate the teacher.
        teacher: The teacher; None creates it from the settings.
    """
    stages = {split: run.plan.labels_of(split) for split in splits}
    stages = {split: stage for split, stage in stages.items() if not run.skip_if_finished(stage)}
    if not stages:
        return
    teacher = teacher or _make_teacher(run)
    capacity_check.check(run, "teacher")
    if "log" in stages:
        index.encode_candidates(run, "log")
    from actors.data.streaming import forget_rejections, write_stages
    from actors.vllm.crash_log import CrashLog
    from ranking.hosted_settings import prices_of
    from ray_jobs.common.hosted_ends import conclude, prepare

    _report_unknown_documents(run, teacher)
    CrashLog(run.plan.teacher_cache).forget()
    prepare(run, teacher)
    prices = prices_of(run.settings.teacher)
    inputs, rows, todo = [], {}, 0
    for split, stage in stages.items():
        stage.begin()
        forget_rejections(stage)
        lists, rows[split], left = _teacher_input(run, split, stage)
        inputs.append(lists)
        todo += left
    lists = inputs[0].union(*inputs[1:]) if inputs[1:] else inputs[0]
    tokens = write_stages(stages, teacher.label(lists), Label, todo, run.progress, "queries", prices)
    conclude(run, teacher, [(stage, rows[split], tokens[split]) for split, stage in stages.items()], "lists")
    engines = run.settings.compute.teacher_engines if teacher.actor is not None else None
    unlabelled = [
        stage for split, stage in stages.items() if not _finish(run, stage, rows[split], tokens[split], engines, prices)
    ]
    if unlabelled:
        raise InputError(_no_labels(unlabelled[0]))


def _make_teacher(run: Run) -> Teacher:
    """Make the teacher of the settings, which checks its model, and print a note if it truncates inputs."""
    from actors.teachers import make_teacher
    from actors.teachers.teacher_models import limit_note

    teacher = make_teacher(
        run.settings.teacher, run.settings.compute, run.plan.teacher_fingerprint, run.plan.teacher_cache
    )
    note = limit_note(run.settings.teacher)
    if note is not None:
        run.progress.stage("teacher", note)
    return teacher


def _finish(
    run: Run, stage: Stage, rows_in: int, tokens: TokenCounts, engines: int | None, prices: TokenPrices | None
) -> bool:
    """Finish a stage of labels and report it, unless all lists were rejected. Returns whether it is finished.

    The next job tries an unfinished stage again, with the cached answers. Recordings need no answers to test queries.
    """
    from actors.data.streaming import count_outcomes, finish

    optional = stage is run.plan.test_labels and isinstance(run.settings.teacher, RecordedTeacherSettings)
    if rows_in and count_outcomes(stage) == (0, rows_in) and not optional:
        return False
    run.report_stage(finish(stage, rows_in, tokens, engines, prices), "labels")
    return True


def _no_labels(stage: Stage) -> str:
    """Describe why a stage has no labels: the number of rejected lists, and the most frequent reasons."""
    import ray

    from actors.data.parts import count_rejection_reasons

    counts = ray.get(ray.remote(count_rejection_reasons).options(num_cpus=0.25).remote(stage))
    shown = [
        f"{' '.join(reason.split())[:_REASON_CHARACTERS]} ({count:,})"
        for reason, count in counts.most_common(_SHOWN_REASONS)
    ]
    others = f"; and {len(counts) - len(shown)} other reasons" if len(counts) > len(shown) else ""
    return (
        f"{stage.name}: no labels, because all {counts.total():,} lists were rejected: {'; '.join(shown)}{others}. "
        "Correct the teacher's settings; its answers stay cached, and rejected/ lists all reasons"
    )


def _validation(run: Run) -> tuple[float, int]:
    """Return the fraction and the seed that select validation queries."""
    return run.settings.training.validation_fraction, run.settings.queries.seed


def _report_unknown_documents(run: Run, teacher: Teacher) -> None:
    """Print how many recorded documents are skipped because they are not in the collection.

    Raises:
        InputError: If no recorded document is in the collection.
    """
    from actors.teachers.recorded.recorded_teacher import RecordedTeacher

    if isinstance(teacher, RecordedTeacher) and run.settings.candidates.needs_documents:
        unknown = teacher.count_unknown({document.doc_id for document in run.collection.documents})
        if unknown:
            run.progress.stage("teacher", f"{unknown:,} recorded documents are not in the collection; they are skipped")


def _teacher_input(run: Run, split: SplitName, stage: Stage) -> tuple[Dataset, int, int]:
    """Prepare the lists without a label for the teacher: lists of the log are pre-ranked, test lists are not.

    With passages, the text of each candidate is its best passage.

    Returns:
        The prepared lists, the number of all lists, and the number of lists without a label.
    """
    from actors.data.streaming import parts_of, through_actor
    from actors.retrieval.best_passages import PassageSelector
    from actors.retrieval.pre_ranking import PreRanker, all_candidates, all_test_candidates

    settings = run.settings
    model = CandidateList if split == "log" else QueryCandidates
    lists, rows, left = parts_of(run.plan.candidates_of(split).folder, model, without=stage)
    if split == "log" and settings.pre_ranker is not None:
        arguments = (run.plan.embedding_cache, settings.pre_ranker, _validation(run), settings.passages)
        return through_actor(lists, PreRanker, arguments), rows, left
    of_first_stages = partial(all_test_candidates, first_stages=settings.evaluation.first_stages)
    whole = of_first_stages if split == "test" else all_candidates
    lists = lists.map_batches(whole, batch_format="pyarrow", batch_size=None)
    if settings.passages is not None:
        lists = through_actor(lists, PassageSelector, passage_selection(run, settings.passages))
    return lists, rows, left


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this job has."""
    parser.add_argument("--estimate", action="store_true", help="Print prompts, tokens and cost; ask nothing.")


if __name__ == "__main__":
    job(main, READS, add_options=add_options, action_of=lambda options: show_estimate if options.estimate else main)
