"""Join new requests to batch files that respect the limits of the batch service."""

from __future__ import annotations

from collections.abc import Iterator

from actors.hosted.batch_state import BatchFolders, BatchLine, BatchState, read_state
from ranking.hosted_settings import HostedSettings

_MEGABYTE = 1_000_000


def publish(folders: BatchFolders, settings: HostedSettings) -> tuple[list[str], int]:
    """Write the staged requests to batch files. After an interruption, running it again continues.

    Each batch file is written before its index, and the staged requests are deleted last. A batch file without an index
    was interrupted, and is written again under the same name.

    Returns:
        Names of the batch files that have no results yet, and their number of requests.
    """
    folders.results.write_text(".keep", "")  # creates the folder that the message names
    state = read_state(folders, settings.max_retries)
    staged = folders.staged.names(".parquet")
    number = len(state.parts)
    for lines in _batches(_staged_lines(folders, staged, state), settings):
        number += 1
        name = f"part-{number:05}"
        folders.requests.write_lines(f"{name}.jsonl", [line.line for line in lines])
        index = [BatchLine(body_hash=line.body_hash, round=line.round) for line in lines]
        folders.index.write_rows(f"{name}.parquet", index)
    for name in staged:
        folders.staged.remove(name)
    state = read_state(folders, settings.max_retries)
    return state.waiting_parts, sum(len(state.parts[name]) for name in state.waiting_parts)


def _staged_lines(folders: BatchFolders, names: list[str], state: BatchState) -> Iterator[BatchLine]:
    """Read staged requests without those that are in a batch file already, each once."""
    seen = {request for part in state.parts.values() for request in part}
    for name in names:
        for row in folders.staged.read_table(name).to_pylist():
            line = BatchLine.model_validate(row)
            if (line.body_hash, line.round) not in seen:
                seen.add((line.body_hash, line.round))
                yield line


def _batches(lines: Iterator[BatchLine], settings: HostedSettings) -> Iterator[list[BatchLine]]:
    """Divide requests into batches within the limits. A request that exceeds the size alone is a batch alone."""
    batch: list[BatchLine] = []
    size = 0
    for line in lines:
        length = len(line.line.encode("utf-8")) + 1
        full = len(batch) == settings.batch_requests or size + length > settings.batch_megabytes * _MEGABYTE
        if batch and full:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch
