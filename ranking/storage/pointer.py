"""A pointer: a small file that is changed by compare-and-swap.

A write succeeds only if the file is unchanged since it was read. On a local disk, comparing and renaming happen under a
file lock (flock), which the kernel releases if the process dies. In S3, the service compares: writes are conditional,
with If-Match and If-None-Match.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking.errors import InputError
from ranking.storage import s3
from ranking.storage.folder import PARTIAL, Folder
from ranking.storage.full_disk import full_disk_errors, removed_on_error

_CONFLICT_CODES = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409")
_UNRELATED_CODES = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeout", "IncompleteBody")
"""Codes of answers with status 400 that are not about the condition of a write."""

_WRONG_TAG = f'"{"0" * 32}"'


class PointerConflictError(Exception):
    """The file changed since it was read."""


@dataclass(frozen=True)
class PointerContent:
    """The content of a pointer file when it was read.

    Attributes:
        text: The text; None if the file did not exist.
        tag: The S3 ETag; None on other storage or if the file did not exist.
    """

    text: str | None = None
    tag: str | None = None


class Pointer:
    """A small file in a folder that is changed by compare-and-swap."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name

    def read(self) -> PointerContent:
        """Read the file's current content. Bytes that are not UTF-8 are replaced by U+FFFD."""
        if self.folder.is_local:
            return PointerContent(self._local_text())
        address = self._s3_address
        if address is None:
            return (
                PointerContent(self.folder.read_text(self.name)) if self.folder.exists(self.name) else PointerContent()
            )
        from botocore.exceptions import ClientError

        try:
            response = s3.client().get_object(**address)
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return PointerContent()
            raise
        return PointerContent(response["Body"].read().decode("utf-8", "replace"), response["ETag"])

    def swap(self, expected: PointerContent, text: str) -> None:
        """Write `text` atomically if the file still has the expected content.

        Raises:
            PointerConflictError: The file has other content.
            InputError: The storage does not support compare-and-swap.
        """
        address = self._s3_address
        if self.folder.is_local:
            self._swap_local(expected, text)
        elif address is None:
            raise InputError(
                f"{self.folder.uri}: this kind of storage does not support atomic updates; use a local disk or s3://"
            )
        else:
            self._swap_s3(address, expected, text)

    @property
    def _s3_address(self) -> dict[str, str] | None:
        """Bucket and key of the file as boto3 arguments; None if the storage is not S3."""
        if not self.folder.uri.startswith("s3://"):
            return None
        bucket, _, prefix = self.folder.path.partition("/")
        return {"Bucket": bucket, "Key": f"{prefix.rstrip('/')}/{self.name}"}

    def _local_text(self) -> str | None:
        """Read the local file; None if it does not exist."""
        try:
            return (Path(self.folder.path) / self.name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None

    def _swap_local(self, expected: PointerContent, text: str) -> None:
        """Under the lock, compare the content, write a temporary file, sync it to disk and rename it."""
        folder = Path(self.folder.path)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{self.name}.lock"):
            if self._local_text() != expected.text:
                raise PointerConflictError
            partial = folder / f"{PARTIAL}{uuid.uuid4().hex}"
            with full_disk_errors(self.folder.address(self.name)), removed_on_error(partial):
                with partial.open("w", encoding="utf-8") as stream:
                    stream.write(text)
                    stream.flush()
                    os.fsync(stream.fileno())
                partial.replace(folder / self.name)
            _sync(folder)

    def _swap_s3(self, address: dict[str, str], expected: PointerContent, text: str) -> None:
        """Write the file on the condition that its ETag is the expected one, or that the file still does not exist."""
        from botocore.exceptions import ClientError

        condition: dict[str, Any] = {"IfMatch": expected.tag} if expected.tag else {"IfNoneMatch": "*"}
        try:
            s3.client().put_object(**address, Body=text.encode("utf-8"), **condition)
        except ClientError as error:
            if _is_unsupported(error):
                raise InputError(_unsupported(address["Bucket"], next(iter(condition)), _answer(error))) from None
            if not _is_conflict(error):
                raise
            if self.read().text != text:  # if equal, the write succeeded but its response was lost
                raise PointerConflictError from None


def check_conditional_writes(folder: Folder) -> None:
    """Check that a bucket supports conditional writes, with a few writes to a probe key. A no-op for other storage.

    Without them, two jobs could own the lease of one run, and one of two concurrent promotions would be lost.

    Raises:
        InputError: The service ignores or rejects If-None-Match or If-Match, or the probe fails.
    """
    if not folder.uri.startswith("s3://"):
        return
    from botocore.exceptions import BotoCoreError, ClientError

    probe = Pointer(folder, f".conditional-{uuid.uuid4().hex}")
    address = probe._s3_address
    assert address is not None
    try:
        try:
            problem = _missing_condition(address)
        finally:
            s3.client().delete_object(**address)
    except ClientError as error:
        raise InputError(f"{folder.uri}: {s3.explain(address['Bucket'], error)}") from None
    except BotoCoreError as error:
        raise InputError(f"{folder.uri}: cannot reach the service ({' '.join(str(error).split())})") from None
    if problem is not None:
        raise InputError(f"{folder.uri}: {problem}")


def _missing_condition(address: dict[str, str]) -> str | None:
    """Write conditionally to a new key. Returns what the service gets wrong, or None if it supports conditions."""
    bucket = address["Bucket"]
    for condition, value, is_true in (
        ("IfNoneMatch", "*", True),
        ("IfNoneMatch", "*", False),
        ("IfMatch", _WRONG_TAG, False),
        ("IfMatch", None, True),
    ):
        tag = value or s3.client().head_object(**address)["ETag"]
        written, answer = _write_if(address, {condition: tag})
        if answer is not None:
            return _unsupported(bucket, condition, answer)
        if written and not is_true:
            return _unsupported(bucket, condition, "it wrote although the condition was false")
        if condition == "IfMatch" and is_true and not written:
            return _unsupported(bucket, condition, "it did not write although the condition was true")
    return None


def _write_if(address: dict[str, str], condition: dict[str, str]) -> tuple[bool, str | None]:
    """Write an empty object conditionally.

    Returns:
        Whether the object was written, and the service's answer if it rejects the condition itself.
    """
    from botocore.exceptions import ClientError

    try:
        s3.client().put_object(**address, Body=b"", **condition)
    except ClientError as error:
        if _is_conflict(error):
            return False, None
        if _is_unsupported(error):
            return False, _answer(error)
        raise
    return True, None


def _unsupported(bucket: str, condition: str, reason: str) -> str:
    """Say which conditional write a bucket does not support."""
    header = {"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}[condition]
    return (
        f"bucket {bucket!r} does not support conditional writes with {header} ({reason}), which protect runs and the "
        "registry from concurrent jobs; use a service that supports them, or a disk that all nodes share"
    )


def _is_conflict(error: Any) -> bool:
    """Return whether a ClientError means that the condition of a write was false."""
    return _code(error) in _CONFLICT_CODES


def _is_unsupported(error: Any) -> bool:
    """Return whether a ClientError means that the service does not know the condition of a write."""
    if _is_conflict(error):
        return False
    return _status(error) == 501 or (_status(error) == 400 and _code(error) not in _UNRELATED_CODES)


def _status(error: Any) -> int | None:
    """Return the HTTP status of a ClientError."""
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _code(error: Any) -> str:
    """Return the S3 error code of a ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _answer(error: Any) -> str:
    """Return the HTTP status and the error code of a ClientError."""
    return f"it answered {_status(error)} {_code(error)}".rstrip()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Run the block under an exclusive lock on a file."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    """Flush the folder's directory entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
