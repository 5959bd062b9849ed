"""Checksums of training checkpoints.

Every worker uploads its own files of a checkpoint, with the list of their checksums: `checksums-<rank>.json`. A
checkpoint is whole if the lists of all workers exist and all listed files have these checksums. This also detects an
upload that was interrupted, in whichever order its files arrive.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict

from ranking.errors import CorruptFileError
from ranking.records.record import ChecksummedModel
from ranking.storage.checksums import checksums_of
from ranking.storage.folder import Folder


class WorkerFiles(ChecksummedModel):
    """The files of a checkpoint that one worker wrote.

    Attributes:
        workers: Number of workers that wrote the checkpoint.
        files: {file name: SHA-256}.
    """

    model_config = ConfigDict(extra="forbid")

    workers: int
    files: dict[str, str]


def write(local: Path, rank: int, workers: int) -> None:
    """Write the list of a worker's files. Call it once the worker has written all of them.

    Args:
        local: Folder with the worker's files.
        rank: Rank of the worker.
        workers: Number of workers that write the checkpoint.
    """
    folder = Folder(local)
    listed = WorkerFiles(workers=workers, files=checksums_of(folder))
    folder.write_text(_name(rank), listed.to_json())


def check(checkpoint: Folder, repair: str, display_name: str | None = None) -> None:
    """Check that a checkpoint is whole.

    Args:
        checkpoint: Folder of the checkpoint.
        repair: What to do about a damaged file, for the error message.
        display_name: Name of the folder in error messages; None for its URI.

    Raises:
        CorruptFileError: A file is missing or changed.
    """
    where = display_name or checkpoint.uri
    expected: dict[str, str] = {}
    rank, workers = 0, 1
    while rank < workers:
        listed = _read(checkpoint, _name(rank), repair, where)
        expected |= listed.files
        rank, workers = rank + 1, listed.workers
    actual = checksums_of(checkpoint)
    for name, checksum in sorted(expected.items()):
        if name not in actual:
            raise CorruptFileError(f"{where}/{name}", "missing", repair)
        if actual[name] != checksum:
            raise CorruptFileError(f"{where}/{name}", "the checksum is wrong", repair)


def _read(checkpoint: Folder, name: str, repair: str, where: str) -> WorkerFiles:
    """Read the list of a worker."""
    if not checkpoint.exists(name):
        raise CorruptFileError(f"{where}/{name}", "missing", repair)
    try:
        return checkpoint.read_model(name, WorkerFiles)
    except CorruptFileError as error:
        raise CorruptFileError(f"{where}/{name}", error.problem, repair) from None


def _name(rank: int) -> str:
    return f"checksums-{rank}.json"
