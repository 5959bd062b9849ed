"""104 promotions by eight processes that are killed at random: the pointer stays valid and no promotion is lost."""

import contextlib
import os
import random
import subprocess
import sys
import time
import uuid

import pytest

from ranking.registry import Registry
from ranking.registry_versions import verify_checksums
from ranking.storage import s3
from ranking.storage.folder import Folder
from tests.testing.facts import ROOT
from tools.s3_server import BUCKET, running_s3

PROCESSES, EACH, KILLS = 8, 13, 24


@pytest.fixture(params=["local disk", "bucket"])
def storage(request, tmp_path):
    """Return a storage URI and the environment variables it needs: once on local disk, once in an S3 bucket."""
    if request.param == "local disk":
        yield str(tmp_path / "store"), {}
        return
    with running_s3(tmp_path / "s3.log") as variables:
        yield f"s3://{BUCKET}/{uuid.uuid4().hex}", variables


def test_concurrent_promotions_are_all_recorded_with_one_champion(storage, tmp_path, monkeypatch):
    uri, variables = storage
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def start(number):
        arguments = [uri, f"p{number}", str(EACH), str(tmp_path / f"p{number}.log")]
        command = [sys.executable, "-m", "tests.testing.promoter", *arguments]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})

    registry, rng = Registry(Folder(uri)), random.Random(4)
    running = {number: start(number) for number in range(PROCESSES)}
    seen, kills, deadline = [], 0, time.monotonic() + 600
    try:
        while any(process.poll() is None for process in running.values()):
            assert time.monotonic() < deadline
            seen = check_registry(registry, seen)
            time.sleep(rng.uniform(0.02, 0.2))
            alive = [number for number, process in running.items() if process.poll() is None]
            if seen and alive and kills < KILLS:
                kills += 1
                number = rng.choice(alive)
                running[number].kill()
                running[number].wait()
                running[number] = start(number)
    finally:
        for process in running.values():
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()
    assert [process.returncode for process in running.values()] == [0] * PROCESSES
    history = check_registry(registry, seen)
    expected = {f"p{number}-{each}" for number in range(PROCESSES) for each in range(EACH)}
    assert sorted(change.version for change in history) == sorted(expected)
    assert kills == KILLS


def check_registry(registry, before):
    """Assert that the champion is intact and the history only grew, and return the history."""
    champion = registry.read()
    if champion is None:
        assert not before
        return before
    assert [change.id for change in champion.history[: len(before)]] == [change.id for change in before]
    assert champion.champion == champion.history[-1].version
    verify_checksums(registry.folder / champion.champion, champion.checksum)
    return champion.history


def test_swap_with_a_lost_response_succeeds(tmp_path, monkeypatch):
    from botocore.exceptions import ClientError

    from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent

    with running_s3(tmp_path / "s3.log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        pointer, client = Pointer(Folder(f"s3://{BUCKET}/x"), "p.json"), s3.client()

        class WriteTwice:
            """An S3 client that sends every write twice, like a client that retries after a lost response."""

            get_object = client.get_object

            def put_object(self, **arguments):
                """Write an object twice."""
                client.put_object(**arguments)
                return client.put_object(**arguments)

        pointer.swap(PointerContent(), "one")
        with monkeypatch.context() as patched:
            patched.setattr(s3, "client", WriteTwice)
            pointer.swap(pointer.read(), "two")
        assert pointer.read().text == "two"
        with pytest.raises(PointerConflictError):
            pointer.swap(PointerContent(), "three")
        with pytest.raises(ClientError):
            Pointer(Folder("s3://nobodys-bucket/x"), "p.json").swap(PointerContent(), "one")
