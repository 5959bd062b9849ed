"""Begin and end the work of a hosted teacher, rationale writer or judge."""

from __future__ import annotations

from collections.abc import Sequence

from actors.hosted.hosted_source import source_of
from ranking.records import TokenCounts
from ranking.runs.stages import Stage
from ray_jobs.common.run import Run


def prepare(run: Run, owner: object) -> None:
    """Get a hosted model ready, and print what was found. For batch files, reads their results.

    Args:
        run: The run.
        owner: Teacher or rationale writer. Nothing happens for those that are not hosted.
    """
    source = source_of(owner)
    if source is not None:
        for line in source.prepare():
            run.progress.stage("batch", line)


def conclude(run: Run, owner: object, stages: Sequence[tuple[Stage, int, TokenCounts]], unit: str) -> None:
    """Check that a hosted model left no rows out, and save the usage if it did.

    Args:
        run: The run.
        owner: Teacher or rationale writer. Nothing happens for those that are not hosted.
        stages: Each stage with the number of rows that entered it and the tokens of this job.
        unit: What the rows are, such as `lists`.

    Raises:
        InputError: The spend cap is reached, or the user has to change something.
        ServiceError: The server failed.
        WaitingError: Batch files wait for their results.
    """
    from actors.data.streaming import count_missing

    if source_of(owner) is None:
        return
    remaining = sum(count_missing(stage, rows) for stage, rows, _ in stages)
    if remaining:
        for stage, _, tokens in stages:
            stage.save_usage(tokens)
    check_remaining(run, owner, remaining, unit)


def check_remaining(run: Run, owner: object, remaining: int, unit: str) -> None:
    """Raise the error that a hosted model ended with, if rows remain. See `conclude`."""
    source = source_of(owner)
    if source is not None:
        for line in source.conclude(remaining, unit):
            run.progress.stage("", line)
