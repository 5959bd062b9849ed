"""Storage places for runs, and their faults: a disk that runs full, and an S3 service that fails."""

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
_DISK_BYTES = 400 * _MIB
_FAULT_SECONDS = (5.0, 20.0)
_REFILL_SECONDS = 0.05


@dataclass
class Place:
    """A storage place for runs.

    Attributes:
        name: Name in tables.
        folder: Folder of the runs. This process accesses it without faults.
        faults: Faults of the storage.
        environment: Environment variables of jobs that use the place.
    """

    name: str
    folder: Folder
    faults: Sequence[Fault]
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def small_disk(at: Path) -> Iterator[Place]:
    """Mount a tmpfs of 400 MiB at a new folder, and unmount it afterwards. Needs root."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(at)], check=True)
    ballast = _Ballast(at / "ballast")
    try:
        yield Place("disk", Folder(at / "runs"), [Fault("disk full", ballast.fill, ballast.drop, _FAULT_SECONDS)])
    finally:
        ballast.drop()
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def bucket(log: Path) -> Iterator[Place]:
    """Run an S3 service behind a failing proxy. This process accesses the bucket without the proxy."""
    with running_s3(log) as direct, FailingS3(direct["AWS_ENDPOINT_URL"]) as proxy:
        os.environ.update(direct)
        faults = [
            Fault(mode, lambda mode=mode: proxy.set(mode), lambda: _stop_failing(proxy), _FAULT_SECONDS)
            for mode in proxy.MODES
        ]
        yield Place("bucket", Folder(f"s3://{BUCKET}/faults"), faults, {**direct, "AWS_ENDPOINT_URL": proxy.url})


def _stop_failing(proxy: FailingS3) -> None:
    proxy.set(None)


class _Ballast:
    """A file that takes all free space of a disk, and keeps taking space that is freed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()

    def fill(self) -> bool:
        """Fill the disk and keep it full."""
        self._stop.clear()
        self._take_free_space()
        self._thread = threading.Thread(target=self._keep_full, daemon=True)
        self._thread.start()
        return True

    def drop(self) -> None:
        """Delete the file if it exists."""
        if self._path.exists():
            self._stop.set()
            self._thread.join()
            self._path.unlink()

    def _keep_full(self) -> None:
        while not self._stop.wait(_REFILL_SECONDS):
            self._take_free_space()

    def _take_free_space(self) -> None:
        """Allocate all free space. Halves the amount while allocation fails, because other processes also write."""
        disk = os.statvfs(self._path.parent)
        free = disk.f_bavail * disk.f_frsize
        with self._path.open("ab") as stream:
            while free >= disk.f_frsize:
                try:
                    return os.posix_fallocate(stream.fileno(), stream.tell(), free)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    free //= 2
