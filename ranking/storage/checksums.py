"""SHA-256 checksums of the files of a folder, kept in the folder as checksums.json: {file name: SHA-256}."""

from __future__ import annotations

import hashlib
import json

from pydantic import TypeAdapter, ValidationError

from ranking.errors import CorruptFileError
from ranking.storage.folder import Folder

CHECKSUMS = "checksums.json"
_BLOCK = 2**20
_FORMAT = TypeAdapter(dict[str, str])


def checksums_of(folder: Folder) -> dict[str, str]:
    """Return {file name: SHA-256} for all files of a folder except checksums.json."""
    sums = {}
    for name, _, _ in folder.inventory():
        name = name.lstrip("/")
        if name == CHECKSUMS:
            continue
        digest = hashlib.sha256()
        with folder.open(name) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        sums[name] = digest.hexdigest()
    return sums


def as_text(sums: dict[str, str]) -> str:
    """Return the content of checksums.json."""
    return json.dumps(sums, indent=2, sort_keys=True)


def write_checksums(folder: Folder) -> None:
    """Write checksums.json for the current files of a folder."""
    folder.write_text(CHECKSUMS, as_text(checksums_of(folder)))


def read_checksums(folder: Folder) -> dict[str, str] | None:
    """Read checksums.json; None if the folder has none.

    Raises:
        CorruptFileError: The file is damaged.
    """
    if not folder.exists(CHECKSUMS):
        return None
    text = folder.read_text(CHECKSUMS)
    try:
        return _FORMAT.validate_json(text)
    except ValidationError:
        raise CorruptFileError(f"{folder.uri}/{CHECKSUMS}", "not a list of checksums") from None


def wrong_files(folder: Folder, sums: dict[str, str]) -> list[str]:
    """Return the names of the files of a folder that are missing, added or changed, sorted."""
    actual = checksums_of(folder)
    return sorted(name for name in sums.keys() | actual.keys() if sums.get(name) != actual.get(name))


def check_files(folder: Folder, repair: str, display_name: str | None = None) -> None:
    """Check the files of a folder against its checksums.json. A no-op if it has none.

    Args:
        folder: The folder.
        repair: What to do about a damaged file, for the error message.
        display_name: Name of the folder in error messages; None for its URI.

    Raises:
        CorruptFileError: A file is missing, added or changed.
    """
    try:
        sums = read_checksums(folder)
    except CorruptFileError as error:
        raise CorruptFileError(f"{display_name or folder.uri}/{CHECKSUMS}", error.problem, repair) from None
    if sums is None:
        return
    if wrong := wrong_files(folder, sums):
        where = display_name or folder.uri
        problem = f"{len(wrong)} of {len(sums)} files do not match {where}/{CHECKSUMS}"
        raise CorruptFileError(f"{where}/{wrong[0]}", problem, repair)
