"""Run a stage through Ray Data: stream the unfinished queries in, and write rows and rejections out.

Both are stored as parts, which are the Parquet files of a stage. The driver has only names and counts in memory.
Workers read and filter rows, so the query log can be of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import ray.data
from pydantic import BaseModel

from actors.data.arrow_blocks import tables_in
from actors.data.parts import (
    Ids,
    PartSlice,
    filter_by_id,
    finished_ids,
    finished_parts,
    ids_in,
    read_slice,
    remove_duplicate_rows,
    slices_of,
)
from actors.data.rows import table_of
from actors.data.sink import LIGHT, PartSink
from actors.retrieval.embeddings import text_ids_in, without_known
from ranking.records import SplitName, TokenCounts
from ranking.runs.progress import Progress
from ranking.runs.stages import REJECTED, Manifest, Stage
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import schema_of
from ranking.token_prices import TokenPrices

R = TypeVar("R", bound=BaseModel)
LISTS_PER_PART = 16
"""Default number of rows in a block of `dataset_of`, and the minimum number of rows in a part."""
_MAX_ROWS_PER_PART = 2048
_TARGET_PARTS = 256
_READERS = 4


def rows_per_part(rows: int) -> int:
    """Choose the number of rows per part for a stage with `rows` rows in total.

    Small parts lose little work if a run is interrupted. Large stages get larger parts to limit the number of files.
    """
    return min(_MAX_ROWS_PER_PART, max(LISTS_PER_PART, rows // _TARGET_PARTS))


def dataset_of(rows: Sequence[R], model: type[R], per_block: int = LISTS_PER_PART) -> ray.data.Dataset:
    """Make a dataset with small blocks from records in the driver's memory."""
    blocks = [table_of(rows[start : start + per_block], model) for start in range(0, len(rows), per_block)]
    return ray.data.from_arrow(blocks or [table_of([], model)])


def texts_of(texts: Sequence[str], per_block: int) -> ray.data.Dataset:
    """Make a dataset with the column `text` from texts in the driver's memory."""
    column = pa.array(texts, pa.string())
    return ray.data.from_arrow(
        [pa.table({"text": column[start : start + per_block]}) for start in range(0, max(1, len(texts)), per_block)]
    )


def new_texts(texts: ray.data.Dataset, cache: Folder) -> ray.data.Dataset:
    """Select the texts that are not in an embedding cache. Maps rows {text} to rows {text_id, text}."""
    known = _remote(text_ids_in).remote(cache)

    def drop_known(batch: pa.Table) -> pa.Table:
        return without_known(batch, ray.get(known))

    return texts.map_batches(drop_known, batch_format="pyarrow", batch_size=None, **LIGHT)


def parts_of(
    folder: Folder,
    model: type[BaseModel] | None,
    without: Stage | None = None,
    only: ray.ObjectRef[Ids] | None = None,
    part: str | None = None,
) -> tuple[ray.data.Dataset, int, int]:
    """Stream the Parquet parts of a folder in small blocks. Workers read them.

    Args:
        folder: Folder of the parts.
        model: Record class whose columns are read. None reads all columns.
        without: Stage whose finished queries are skipped. None skips no queries.
        only: Query ids from `ids_of`. Other queries are skipped. None keeps all queries.
        part: The only part to read. None reads all parts.

    Returns:
        The dataset, the number of rows in the parts, and the number of rows after filtering.
    """
    slices, rows = ray.get(_remote(slices_of).remote(folder, rows_per_part, part))
    filters = [(_remote(finished_ids).remote(finished_parts(without)), False)] if without is not None else []
    filters += [(only, True)] if only is not None else []
    parts = [*{part_slice.part: None for part_slice in slices}]
    remaining = ray.get(_remote(_count_filtered).remote(folder, parts, filters)) if filters else rows
    schema = schema_of(model) if model else None

    def read(batch: pa.Table) -> pa.Table:
        table = pa.concat_tables([read_slice(folder, PartSlice(**row), schema) for row in batch.to_pylist()])
        for ids, include in filters:
            table = filter_by_id(table, ray.get(ids), include)
        return table

    blocks = [pa.Table.from_pylist([vars(part_slice)]) for part_slice in slices]
    if not blocks:
        return ray.data.from_arrow([(schema or pa.schema([])).empty_table()]), rows, remaining
    # Without a limit, num_cpus=0.25 starts four tasks for each CPU, and each task needs a new worker process.
    pool = ray.data.TaskPoolStrategy(size=_READERS)
    lists = ray.data.from_arrow(blocks).map_batches(
        read, batch_format="pyarrow", batch_size=None, num_cpus=0.25, compute=pool
    )
    return lists, rows, remaining


def ids_of(folder: Folder) -> ray.ObjectRef[Ids]:
    """Put the query ids of a folder into the object store, where all workers share them."""
    ids: ray.ObjectRef[Ids] = _remote(ids_in).remote(folder)
    return ids


def forget_rejections(stage: Stage) -> None:
    """Delete the rejections of a stage, so the rejected queries are tried again."""
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
    """Stream batches through a pool of actors.

    Args:
        data: Dataset to transform.
        actor: Class of the actors.
        arguments: Arguments of the actor's constructor.
        actors: Number of actors.
        per_batch: Rows in a batch. None makes each block a batch.
        cpus: Number of CPUs per actor.
    """
    return data.map_batches(
        actor,
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
    prices: TokenPrices | None = None,
) -> dict[SplitName, TokenCounts]:
    """Write outcomes as they arrive, each to the stage of its split (log or test queries).

    Args:
        stages: Stage of each split.
        outcomes: Dataset of `Outcome` rows.
        model: Record class of the rows.
        todo: Number of queries, for the progress bar.
        progress: Where to show the progress bar.
        unit: Unit of the progress bar.
        prices: Prices of a hosted model's tokens, to show the spend. None shows none.

    Returns:
        The tokens used for each split.
    """
    counts = outcomes.map_batches(PartSink(model, stages), batch_format="pyarrow", batch_size=None, **LIGHT)
    tokens: dict[SplitName, TokenCounts] = {split: TokenCounts() for split in stages}
    share_time(stages, tokens)
    with progress.bar(next(iter(stages.values())).name, todo, unit) as bar:
        for batch in tables_in(counts):
            for row in batch.to_pylist():
                previous = tokens[row["split"]]
                tokens[row["split"]] = TokenCounts(
                    prompt=previous.prompt + row["prompt_tokens"],
                    completion=previous.completion + row["completion_tokens"],
                )
                share_time(stages, tokens)
                stages[row["split"]].note(tokens[row["split"]])
                bar.advance(row["rows"] + row["rejected"], _spend_note(stages, tokens, prices))
    return tokens


def _spend_note(
    stages: Mapping[SplitName, Stage], tokens: Mapping[SplitName, TokenCounts], prices: TokenPrices | None
) -> str:
    """Format the spend on all stages so far; empty without prices."""
    if prices is None:
        return ""
    return f"spent {sum(prices.cost(stage.usage(tokens[split]).tokens) for split, stage in stages.items()):,.2f}"


def count_missing(stage: Stage, rows_in: int) -> int:
    """Count the queries that have neither a row nor a rejection.

    Args:
        stage: The stage.
        rows_in: Number of queries that entered the stage.
    """
    rows, rejected = ray.get(_remote(remove_duplicate_rows).remote(stage))
    return rows_in - int(rows) - int(rejected)


def share_time(stages: Mapping[SplitName, Stage], tokens: Mapping[SplitName, TokenCounts]) -> None:
    """Divide the elapsed time among stages that run together.

    Shares are proportional to the tokens that each stage used, or equal if no tokens were used.
    """
    used = {split: counts.prompt + counts.completion for split, counts in tokens.items()}
    total = sum(used.values())
    for split, stage in stages.items():
        stage.share = used[split] / total if total else 1 / len(stages)


def finish(
    stage: Stage,
    rows_in: int,
    tokens: TokenCounts | None = None,
    engines: int | None = None,
    prices: TokenPrices | None = None,
) -> Manifest:
    """Check that a stage has a row or a rejection for every query, and write its manifest.

    Args:
        stage: The stage. Parts that earlier, interrupted runs of the stage wrote count too.
        rows_in: Number of queries that entered the stage.
        tokens: Tokens used since the stage was started or resumed.
        engines: Number of engines that worked on the stage.
        prices: Prices of a hosted model's tokens.

    Raises:
        RuntimeError: The numbers of rows and rejections do not add up to `rows_in`.
    """
    rows, rejected = count_outcomes(stage)
    if rows + rejected != rows_in:
        raise RuntimeError(f"stage {stage.name}: {rows_in} queries in, but {rows} rows and {rejected} rejections out")
    return stage.finish(
        rows_in=rows_in, rows_out=rows, rejected=rejected, tokens=tokens, engines=engines, prices=prices
    )


def count_outcomes(stage: Stage) -> tuple[int, int]:
    """Return the numbers of rows and rejections of a stage, after duplicates are removed."""
    counts: tuple[int, int] = ray.get(_remote(remove_duplicate_rows).remote(stage))
    return counts


def _count_filtered(folder: Folder, parts: Sequence[str], filters: Sequence[tuple[ray.ObjectRef[Ids], bool]]) -> int:
    """Count the rows of parts that pass all filters. A filter is (ids, include), as in `filter_by_id`."""
    rows = 0
    for part in parts:
        table = folder.read_table(part, ["query_id"])
        for ids, include in filters:
            table = filter_by_id(table, ray.get(ids), include)
        rows += table.num_rows
    return rows


def _remote(function: Callable[..., Any]) -> Any:
    """Wrap a function as a Ray task that takes a quarter of a CPU."""
    return ray.remote(function).options(num_cpus=0.25)
