"""Running a stage through Ray Data: what is left to do goes in, parts and rejections come out.

The driver holds names and counts, never rows: it reads and filters on workers, however long the query log is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.data.parts import PartSlice, done_now, ids_done, ids_in, read_slice, select, settle, slices_of
from actors.data.rows import SplitName, table_of
from actors.data.sink import LIGHT, PartSink
from actors.retrieval.embeddings import text_ids_in, without_known
from ranking.records import TokenCounts
from ranking.runs.progress import Progress
from ranking.runs.stages import REJECTED, Manifest, Stage
from ranking.storage.folder import Folder, schema_of

R = TypeVar("R", bound=BaseModel)
LISTS_PER_PART = 16
_MOST_PER_PART = 2048
_PARTS = 256
_READERS = 4


def rows_per_part(rows: int) -> int:
    """How many rows a part gets: few, so that little is lost when a run is cut off, more where parts would be too many."""
    return min(_MOST_PER_PART, max(LISTS_PER_PART, rows // _PARTS))


def dataset_of(rows: Sequence[R], model: type[R], per_block: int = LISTS_PER_PART) -> ray.data.Dataset:
    """Make a dataset of records in small blocks, for rows that the driver holds anyway."""
    blocks = [table_of(rows[start : start + per_block], model) for start in range(0, len(rows), per_block)]
    return ray.data.from_arrow(blocks or [table_of([], model)])


def texts_of(texts: Sequence[str], per_block: int) -> ray.data.Dataset:
    """Make a dataset of texts that the driver holds anyway: rows {text}."""
    column = pa.array(texts, pa.string())
    return ray.data.from_arrow(
        [pa.table({"text": column[start : start + per_block]}) for start in range(0, max(1, len(texts)), per_block)]
    )


def new_texts(texts: ray.data.Dataset, memory: Folder) -> ray.data.Dataset:
    """The texts that a memory of vectors lacks: rows {text_id, text}."""
    known = _light(text_ids_in).remote(memory)

    def lacking(batch: pa.Table) -> pa.Table:
        return without_known(batch, ray.get(known))

    return texts.map_batches(lacking, batch_format="pyarrow", batch_size=None, **LIGHT)


def parts_of(
    folder: Folder,
    model: type[BaseModel] | None,
    without: Stage | None = None,
    only: ray.ObjectRef | None = None,
    part: str | None = None,
) -> tuple[ray.data.Dataset, int, int]:
    """Stream the parquet parts of a folder in small blocks, read on workers.

    model: whose columns are read; None for all columns. without: a stage whose queries are left out, those
    that are done. only: ids, from `ids_of`, whose queries alone are read. part: the one part that is read; None
    for all. Returns the rows, how many there are, and how many of them are left.
    """
    slices, rows = ray.get(_light(slices_of).remote(folder, rows_per_part, part))
    chosen = [(_light(ids_done).remote(done_now(without)), False)] if without is not None else []
    chosen += [(only, True)] if only is not None else []
    left = ray.get(_light(_count).remote(folder, [*{one.part: None for one in slices}], chosen)) if chosen else rows
    schema = schema_of(model) if model else None

    def read(batch: pa.Table) -> pa.Table:
        table = pa.concat_tables([read_slice(folder, PartSlice(**row), schema) for row in batch.to_pylist()])
        for ids, inside in chosen:
            table = select(table, ray.get(ids), inside)
        return table

    blocks = [pa.Table.from_pylist([vars(one)]) for one in slices]
    if not blocks:
        return ray.data.from_arrow([(schema or pa.schema([])).empty_table()]), rows, left
    pool = ray.data.TaskPoolStrategy(size=_READERS)  # else four for each CPU, each a process that has to start first
    lists = ray.data.from_arrow(blocks).map_batches(
        read, batch_format="pyarrow", batch_size=None, num_cpus=0.25, compute=pool
    )
    return lists, rows, left


def ids_of(folder: Folder) -> ray.ObjectRef:
    """The ids of a folder's queries, shared by all workers."""
    return _light(ids_in).remote(folder)


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
    stages: Mapping[SplitName, Stage],
    outcomes: ray.data.Dataset,
    model: type[BaseModel],
    todo: int,
    progress: Progress,
    unit: str,
) -> dict[SplitName, TokenCounts]:
    """Write outcomes as they come, each to the stage of its split; returns the tokens that each split took."""
    counts = outcomes.map_batches(PartSink(model, stages), batch_format="pyarrow", batch_size=None, **LIGHT)
    tokens: dict[SplitName, TokenCounts] = {split: TokenCounts() for split in stages}
    share_time(stages, tokens)
    with progress.bar(next(iter(stages.values())).name, todo, unit) as bar:
        for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in batch.to_pylist():
                held = tokens[row["split"]]
                tokens[row["split"]] = TokenCounts(
                    prompt=held.prompt + row["prompt_tokens"], completion=held.completion + row["completion_tokens"]
                )
                share_time(stages, tokens)
                stages[row["split"]].note(tokens[row["split"]])
                bar.advance(row["rows"] + row["rejected"])
    return tokens


def share_time(stages: Mapping[SplitName, Stage], tokens: Mapping[SplitName, TokenCounts]) -> None:
    """Divide the session's time among stages by their tokens; alike where none were read."""
    read = {split: held.prompt + held.completion for split, held in tokens.items()}
    every = sum(read.values())
    for split, stage in stages.items():
        stage.share = read[split] / every if every else 1 / len(stages)


def finish(stage: Stage, rows_in: int, tokens: TokenCounts | None = None, engines: int | None = None) -> Manifest:
    """Count what a stage of queries holds, earlier parts included, and write its manifest. engines: that worked on it.

    Raises RuntimeError where queries went missing on the way.
    """
    rows, rejected = ray.get(_light(settle).remote(stage))
    if rows + rejected != rows_in:
        raise RuntimeError(f"stage {stage.name}: {rows_in} queries in, but {rows} rows and {rejected} rejections out")
    return stage.finish(rows_in=rows_in, rows_out=rows, rejected=rejected, tokens=tokens, engines=engines)


def _count(folder: Folder, parts: Sequence[str], chosen: Sequence[tuple[ray.ObjectRef, bool]]) -> int:
    """How many rows of some parts are among the chosen ones."""
    rows = 0
    for part in parts:
        table = folder.read_table(part, ["query_id"])
        for ids, inside in chosen:
            table = select(table, ray.get(ids), inside)
        rows += table.num_rows
    return rows


def _light(function: Callable[..., Any]) -> Any:
    return ray.remote(function).options(num_cpus=0.25)
