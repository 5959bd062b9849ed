"""Running a stage through Ray Data: what is left to do goes in, parts and rejections come out.

The driver holds names and counts, never rows: it reads and filters on workers, however long the query log is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.parts import Slice, drop_known, known_ids, read_slice, settle, slices_of
from actors.rows import Split, table_of
from actors.sink import LIGHT, PartSink
from ranking.progress import Progress
from ranking.records import Tokens
from ranking.stages import REJECTED, Manifest, Stage
from ranking.storage import Folder, schema_of

R = TypeVar("R", bound=BaseModel)
LISTS_PER_PART = 16
_MOST_PER_PART = 1024
_PARTS = 256


def rows_per_part(rows: int) -> int:
    """How many rows a part gets: few, so that little is lost when a run is cut off, more where parts would be too many."""
    return min(_MOST_PER_PART, max(LISTS_PER_PART, rows // _PARTS))


def dataset_of(rows: Sequence[R], model: type[R], per_block: int = LISTS_PER_PART) -> ray.data.Dataset:
    """Make a dataset of records in small blocks, for rows that the driver holds anyway."""
    blocks = [table_of(rows[start : start + per_block], model) for start in range(0, len(rows), per_block)]
    return ray.data.from_arrow(blocks or [table_of([], model)])


def parts_of(folder: Folder, model: type[BaseModel], without: Folder | None = None) -> tuple[ray.data.Dataset, int, int]:
    """Stream the parquet parts of a folder in small blocks, read on workers.

    without: a folder whose queries are left out, those that are done. Returns the rows, how many there are
    in the folder, and how many of them are left.
    """
    slices, rows = ray.get(_light(slices_of).remote(folder, rows_per_part))
    known = _light(known_ids).remote(without) if without is not None else None
    left = rows - (ray.get(_light(_matches).remote(folder, known)) if known is not None else 0)
    schema = schema_of(model)

    def read(batch: pa.Table) -> pa.Table:
        table = pa.concat_tables([read_slice(folder, Slice(**row), schema) for row in batch.to_pylist()])
        return table if known is None else drop_known(table, ray.get(known))

    blocks = [pa.Table.from_pylist([vars(one)]) for one in slices]
    if not blocks:
        return ray.data.from_arrow([schema.empty_table()]), rows, left
    return ray.data.from_arrow(blocks).map_batches(read, batch_format="pyarrow", batch_size=None, num_cpus=0.25), rows, left


def forget_rejections(stage: Stage) -> None:
    """Take back what a stage rejected when it was begun before, so that it is tried again."""
    for name in stage.rejected_parts():
        (stage.run / REJECTED).remove(name)


def through_actor(
    data: ray.data.Dataset,
    actor: Callable[..., Any],
    arguments: tuple[Any, ...],
    actors: int = 1,
    per_batch: int | None = None,
    cpus: float = 1,
) -> ray.data.Dataset:
    """Stream batches through a pool of actors of `cpus` each; a batch is a block where no size is given."""
    return data.map_batches(
        actor,  # type: ignore[arg-type]
        fn_constructor_args=arguments,
        batch_format="pyarrow",
        batch_size=per_batch,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=cpus,
    )


def write_stages(
    stages: Mapping[Split, Stage], outcomes: ray.data.Dataset, model: type[BaseModel], todo: int, progress: Progress, unit: str
) -> dict[Split, Tokens]:
    """Write outcomes as they come, each to the stage of its split; returns the tokens that each split took."""
    counts = outcomes.map_batches(PartSink(model, stages), batch_format="pyarrow", batch_size=None, **LIGHT)
    tokens: dict[Split, Tokens] = {split: Tokens() for split in stages}
    with progress.bar(next(iter(stages.values())).name, todo, unit) as bar:
        for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                held = tokens[row["split"]]
                tokens[row["split"]] = Tokens(
                    prompt=held.prompt + row["prompt_tokens"], completion=held.completion + row["completion_tokens"]
                )
                bar.advance(row["rows"] + row["rejected"])
    return tokens


def finish(stage: Stage, rows_in: int, tokens: Tokens | None = None) -> Manifest:
    """Count what a stage of queries holds, earlier parts included, and write its manifest.

    Raises RuntimeError where queries went missing on the way.
    """
    rows, rejected = ray.get(_light(settle).remote(stage))
    if rows + rejected != rows_in:
        raise RuntimeError(f"stage {stage.name}: {rows_in} queries in, but {rows} rows and {rejected} rejections out")
    return stage.finish(rows_in=rows_in, rows_out=rows, rejected=rejected, tokens=tokens)


def _matches(folder: Folder, known: Any) -> int:
    """How many rows of a folder are known."""
    return sum(table.num_rows - drop_known(table, known).num_rows for table in folder.read_tables(["query_id"]))


def _light(function: Callable[..., Any]) -> Any:
    return ray.remote(function).options(num_cpus=0.25)
