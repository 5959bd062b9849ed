"""A small file that changes by compare-and-swap: who writes it says what it held, and loses if that is no longer so.

On a local disk a lock stands around comparing and renaming; it is the kernel's, so it goes with its process. In a
bucket the service compares: conditional writes (If-Match, If-None-Match), as S3 has them.
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

_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409")


class PointerConflictError(Exception):
    """The file does not hold any more what was read from it."""


@dataclass(frozen=True)
class PointerContent:
    """What the file held when it was read; text and tag are None where there was none. tag: the service's, of this content."""

    text: str | None = None
    tag: str | None = None


class Pointer:
    """The file of a folder by its name."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name

    def read(self) -> PointerContent:
        """What the file holds now."""
        if self.folder.is_local:
            return PointerContent(self._local_text())
        place = self._in_bucket
        if place is None:
            return (
                PointerContent(self.folder.read_text(self.name)) if self.folder.exists(self.name) else PointerContent()
            )
        from botocore.exceptions import ClientError

        try:
            answer = s3.client().get_object(**place)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return PointerContent()
            raise
        return PointerContent(answer["Body"].read().decode("utf-8"), answer["ETag"])

    def swap(self, held: PointerContent, text: str) -> None:
        """Write `text` where the file still holds what was read, whole or not at all.

        Raises PointerConflictError where it holds something else, InputError for storage that cannot compare.
        """
        place = self._in_bucket
        if self.folder.is_local:
            self._swap_local(held, text)
        elif place is None:
            raise InputError(
                f"{self.folder.uri}: a champion cannot be changed safely on this kind of storage; use a local disk or s3://"
            )
        else:
            self._swap_in_bucket(place, held, text)

    @property
    def _in_bucket(self) -> dict[str, str] | None:
        """Bucket and key for boto3; None for other storage."""
        if not self.folder.uri.startswith("s3://"):
            return None
        bucket, _, prefix = self.folder.path.partition("/")
        return {"Bucket": bucket, "Key": f"{prefix.rstrip('/')}/{self.name}"}

    def _local_text(self) -> str | None:
        try:
            return (Path(self.folder.path) / self.name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _swap_local(self, held: PointerContent, text: str) -> None:
        place = Path(self.folder.path)
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place / f".{self.name}.lock"):
            if self._local_text() != held.text:
                raise PointerConflictError
            partial = place / f"{PARTIAL}{uuid.uuid4().hex}"
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(place / self.name)
            _sync(place)

    def _swap_in_bucket(self, place: dict[str, str], held: PointerContent, text: str) -> None:
        from botocore.exceptions import ClientError

        condition: dict[str, Any] = {"IfMatch": held.tag} if held.tag else {"IfNoneMatch": "*"}
        try:
            s3.client().put_object(**place, Body=text.encode("utf-8"), **condition)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _REFUSED:
                raise
            if self.read().text != text:  # else it was written, and the answer to that was lost
                raise PointerConflictError from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    """Have the folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
