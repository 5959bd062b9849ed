"""Where runs are kept, and how that place fails: a small disk that is full, an S3 service with errors, slow, or cut off."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.campaign import Fault
from benchmarks.faults.failing_s3 import FailingS3
from ranking.storage.folder import Folder
from tools.s3_server import BUCKET, running_s3

_MIB = 2**20
_SIZE = 400 * _MIB
_LASTS = (5.0, 20.0)
_AGAIN = 0.05


@dataclass
class Place:
    """environment: of the jobs that write there. folder: as this process sees it, untouched by faults."""

    name: str
    folder: Folder
    faults: Sequence[Fault]
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def small_disk(at: Path) -> Iterator[Place]:
    """A file system in memory of 400 MiB, mounted at a folder that is made; needs root."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(at)], check=True)
    ballast = _Ballast(at / "ballast")
    try:
        yield Place("disk", Folder(at / "runs"), [Fault("disk full", ballast.fill, ballast.drop, _LASTS)])
    finally:
        ballast.drop()
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def bucket(log: Path) -> Iterator[Place]:
    """A bucket of an S3 service behind a proxy that fails; this process sees it without the proxy."""
    with running_s3(log) as direct, FailingS3(direct["AWS_ENDPOINT_URL"]) as proxy:
        os.environ.update(direct)
        faults = [
            Fault(mode, lambda mode=mode: proxy.set(mode), lambda: _through(proxy), _LASTS) for mode in proxy.MODES
        ]
        yield Place("bucket", Folder(f"s3://{BUCKET}/faults"), faults, {**direct, "AWS_ENDPOINT_URL": proxy.url})


def _through(proxy: FailingS3) -> None:
    proxy.set(None)


class _Ballast:
    """A file that takes all room there is, and what is freed meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()

    def fill(self) -> bool:
        self._stop.clear()
        self._take_rest()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return True

    def drop(self) -> None:
        if self._path.exists():
            self._stop.set()
            self._thread.join()
            self._path.unlink()

    def _keep(self) -> None:
        while not self._stop.wait(_AGAIN):
            self._take_rest()

    def _take_rest(self) -> None:
        """Others write at the same time: what they took since the look is not to be had, and less is tried."""
        room = os.statvfs(self._path.parent)
        free = room.f_bavail * room.f_frsize
        with self._path.open("ab") as stream:
            while free >= room.f_frsize:
                try:
                    return os.posix_fallocate(stream.fileno(), stream.tell(), free)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    free //= 2
