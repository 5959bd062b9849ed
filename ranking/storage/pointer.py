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

_CONFLICT_CODES = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409")


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
        """Read the file's current content."""
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
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return PointerContent()
            raise
        return PointerContent(response["Body"].read().decode("utf-8"), response["ETag"])

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
            return (Path(self.folder.path) / self.name).read_text(encoding="utf-8")
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
            if error.response.get("Error", {}).get("Code") not in _CONFLICT_CODES:
                raise
            if self.read().text != text:  # if equal, the write succeeded but its response was lost
                raise PointerConflictError from None


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
