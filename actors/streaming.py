"""Running a stage through Ray Data: what is left to do goes in, parts and rejections come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import ray.data
from pydantic import BaseModel

from actors.rows import Split, table_of
from actors.sink import LIGHT, PartSink
from ranking.progress import Progress
from ranking.stages import REJECTED, Manifest, Stage, Tokens

R = TypeVar("R", bound=BaseModel)
LISTS_PER_PART = 16


def dataset_of(rows: Sequence[R], model: type[R], per_block: int = LISTS_PER_PART) -> ray.data.Dataset:
    """Make a dataset of records in small blocks, so that little is lost when a run is cut off."""
    blocks = [table_of(rows[start : start + per_block], model) for start in range(0, len(rows), per_block)]
    return ray.data.from_arrow(blocks or [table_of([], model)])


def not_done(stage: Stage, rows: Sequence[Any]) -> list[Any]:
    """The rows of whose query the stage holds no part yet. What was rejected before is tried again."""
    for name in stage.rejected_parts():
        (stage.run / REJECTED).remove(name)
    done = set(stage.folder.read_column("query_id"))
    return [row for row in rows if row.query_id not in done]


def through_actor(
    data: ray.data.Dataset,
    actor: Callable[..., Any],
    arguments: tuple[Any, ...],
    actors: int = 1,
    per_batch: int = LISTS_PER_PART,
    cpus: float = 1,
) -> ray.data.Dataset:
    """Stream batches through a pool of actors of `cpus` each."""
    return data.map_batches(
        actor,  # type: ignore[arg-type]
        fn_constructor_args=arguments,
        batch_format="pyarrow",
        batch_size=per_batch,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=cpus,
    )


def through_light_actor(data: ray.data.Dataset, actor: Callable[..., Any], arguments: tuple[Any, ...]) -> ray.data.Dataset:
    """Stream batches through one actor whose work is light beside an engine's."""
    return through_actor(data, actor, arguments, cpus=0.1)


def write_stages(
    stages: Mapping[Split, Stage], outcomes: ray.data.Dataset, model: type[BaseModel], todo: int, progress: Progress, unit: str
) -> None:
    """Write outcomes as they come, each to the stage of its split."""
    counts = outcomes.map_batches(PartSink(model, stages), batch_format="pyarrow", batch_size=None, **LIGHT)
    with progress.bar(next(iter(stages.values())).name, todo, unit) as bar:
        for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
            bar.advance(sum(batch["rows"].to_pylist()) + sum(batch["rejected"].to_pylist()))


def finish(stage: Stage, rows_in: int, tokens: int = 0) -> Manifest:
    """Count what a stage of queries holds, earlier parts included, and write its manifest.

    Raises RuntimeError where queries went missing on the way.
    """
    rows = len(stage.folder.read_column("query_id"))
    rejected = sum((stage.run / REJECTED).read_table(name).num_rows for name in stage.rejected_parts())
    if rows + rejected != rows_in:
        raise RuntimeError(f"stage {stage.name}: {rows_in} queries in, but {rows} rows and {rejected} rejections out")
    return stage.finish(rows_in=rows_in, rows_out=rows, rejected=rejected, tokens=Tokens(prompt=tokens))
