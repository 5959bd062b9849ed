"""A small disk that tests fill. It is a tmpfs, which only root can mount; tests without permission are skipped."""

import contextlib
import os
import subprocess

import pytest

PAGE_BYTES = 4096
SIZE_BYTES = 4 * 2**20
BALLAST = "ballast"


@contextlib.contextmanager
def small_disk(folder):
    """Mount a tmpfs at a new folder while the block runs."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder, free_pages=0):
    """Fill a disk up to a number of free pages. Returns the file that takes the space."""
    disk = os.statvfs(folder)
    ballast = folder / BALLAST
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, disk.f_bavail * disk.f_frsize - free_pages * PAGE_BYTES)
    return ballast


def contents(folder, ignored=()):
    """Return the content of each file on a disk by its path. Files whose path has an ignored part are left out."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != BALLAST)
    return {path: path.read_bytes() for path in sorted(paths) if not any(part in str(path) for part in ignored)}
