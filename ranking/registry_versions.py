"""The versions of the model registry: add a model folder as a version, verify a version's files, and repair them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from ranking.errors import CorruptFileError, InputError
from ranking.storage.checksums import (
    CHECKSUMS,
    as_text,
    check_files,
    checksums_of,
    read_checksums,
    wrong_files,
)
from ranking.storage.folder import PARTIAL, Folder
from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent

TRAIN_AGAIN = "restore it, or delete the folder of the student and run ray_jobs.train again"
_COPY_AGAIN = "ray_jobs.promote --add STUDENT with the run that trained it copies damaged files again"
_PARTIAL_MAX_AGE_SECONDS = 24 * 3600


def add_version(registry: Folder, version: str, model: Folder, promoted: str | None) -> str:
    """Add a model folder atomically as a version, or repair the version if its files are damaged.

    Args:
        registry: Folder of the registry.
        version: Name of the version.
        model: The model folder.
        promoted: SHA-256 of the version's checksums.json as recorded in champion.json; None if it was never promoted.

    Returns:
        The SHA-256 of the version's checksums.json, which its files match.

    Raises:
        InputError: The version exists with different content, or the model folder is damaged.
    """
    recorded = read_checksums(model)
    sums = as_text(recorded if recorded is not None else checksums_of(model))
    target, checksum = registry / version, sha256_of(sums.encode("utf-8"))
    if not target.exists(CHECKSUMS):
        check_files(model, TRAIN_AGAIN)
        _add(registry, target, model, sums)
    if not _is_same(target, sums, promoted):
        raise InputError(
            f"{target.uri}: this version exists with different content, and versions are immutable "
            f"({model.uri}/{_first_difference(target, sums)} differs); restore the student's files, or choose "
            "another version name by renaming the student"
        )
    if _not_promoted(target, checksum):
        check_files(model, TRAIN_AGAIN)
        _repair(registry, target, model, sums)
        verify_checksums(target, checksum)
    return checksum


def verify_checksums(model: Folder, checksum: str, display_name: str | None = None) -> None:
    """Check that a version's files are the ones that were promoted.

    Args:
        model: Folder of the version.
        checksum: SHA-256 of checksums.json, as recorded in champion.json.
        display_name: Name of the folder in error messages; None for its URI.

    Raises:
        InputError: A file is missing, added or changed.
    """
    wrong = _not_promoted(model, checksum)
    if not wrong:
        return
    where = f"{display_name or model.uri}/{wrong[0]}"
    if wrong[0] == CHECKSUMS:
        raise InputError(f"{where}: missing, or changed since the version was promoted; {_COPY_AGAIN}; or roll back")
    raise InputError(f"{where}: not the file that was promoted ({len(wrong)} differ); {_COPY_AGAIN}; or roll back")


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of data in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _add(registry: Folder, target: Folder, model: Folder, sums: str) -> None:
    """Add a version that does not exist."""
    if registry.is_local:
        _add_local(registry, target, model, sums)
    else:
        _claim(target, sums)


def _claim(target: Folder, sums: str) -> None:
    """Claim the name of a version in an object store by writing checksums.json. Repairing it then copies the files.

    A concurrent writer with different content sees the claim and fails.
    """
    with contextlib.suppress(PointerConflictError):
        Pointer(target, CHECKSUMS).swap(PointerContent(), sums)


def _add_local(registry: Folder, target: Folder, model: Folder, sums: str) -> None:
    """Add a version on a local disk: copy the model to a temporary folder, then rename that folder."""
    with _temporary_copy(registry, model) as copy:
        copy.write_text(CHECKSUMS, sums)
        try:
            Path(copy.path).rename(target.path)
        except OSError:  # the folder exists: perhaps the same version, added by another process meanwhile
            if not target.exists(CHECKSUMS):
                raise InputError(
                    f"{target.uri}: exists but is not a registry version ({CHECKSUMS} is missing); move it away"
                ) from None


def _is_same(target: Folder, sums: str, promoted: str | None) -> bool:
    """Return whether a version was added with these checksums, even if its checksums.json is damaged since."""
    if target.read_bytes(CHECKSUMS) == sums.encode("utf-8"):
        return True
    if promoted:
        return promoted == sha256_of(sums.encode("utf-8"))
    try:
        claimed = read_checksums(target)
    except CorruptFileError:
        return True
    return claimed is not None and as_text(checksums_of(target)) == sums


def _repair(registry: Folder, target: Folder, model: Folder, sums: str) -> None:
    """Copy the damaged files of a version again, and delete files that do not belong to it.

    On a local disk, files are copied to a temporary folder and then renamed, so a file is never incomplete.
    """
    expected = json.loads(sums)
    wrong = wrong_files(target, expected)
    for name in wrong:
        if name not in expected:
            target.remove(name)
    if registry.is_local:
        _replace_files(registry, target, model, [name for name in wrong if name in expected])
    else:
        model.copy_to(target)
    target.write_text(CHECKSUMS, sums)


def _replace_files(registry: Folder, target: Folder, model: Folder, names: list[str]) -> None:
    """Replace files of a version on a local disk by those of the model folder."""
    with _temporary_copy(registry, model) as copy:
        for name in names:
            path = Path(target.path) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            (Path(copy.path) / name).replace(path)


@contextlib.contextmanager
def _temporary_copy(registry: Folder, model: Folder) -> Iterator[Folder]:
    """Copy a model to a temporary folder on a local disk, which is deleted at the end unless it was renamed."""
    _delete_stale_copies(registry)
    copy = registry / f"{PARTIAL}{uuid.uuid4().hex}"
    try:
        model.copy_to(copy)
        yield copy
    finally:
        copy.delete()


def _delete_stale_copies(registry: Folder) -> None:
    """Delete temporary copies that are older than a day, left by interrupted writes."""
    for name in registry.names():
        path = Path(registry.path) / name
        with contextlib.suppress(FileNotFoundError):  # another process has just renamed it
            if name.startswith(PARTIAL) and time.time() - path.stat().st_mtime > _PARTIAL_MAX_AGE_SECONDS:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _not_promoted(model: Folder, checksum: str) -> list[str]:
    """Return the files of a version that are not the promoted ones. Only checksums.json if it is damaged itself."""
    if not model.exists(CHECKSUMS) or sha256_of(model.read_bytes(CHECKSUMS)) != checksum:
        return [CHECKSUMS]
    try:
        sums = read_checksums(model)
    except CorruptFileError:
        return [CHECKSUMS]
    return wrong_files(model, sums or {})


def _first_difference(target: Folder, sums: str) -> str:
    """Return the name of the first file whose checksum in checksums.json of a version is not the given one."""
    existing = read_checksums(target) or {}
    added: dict[str, str] = json.loads(sums)
    return min(name for name in added.keys() | existing.keys() if added.get(name) != existing.get(name))
