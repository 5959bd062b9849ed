"""A hundred promotions from eight processes that are killed at random: the pointer is always valid, and no promotion is lost."""

import contextlib
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from ranking.registry import Registry, check_whole
from ranking.storage import s3
from ranking.storage.folder import Folder
from tools.s3_server import BUCKET, running_s3

ROOT = Path(__file__).parents[2]
PROCESSES, EACH, KILLS = 8, 13, 24


@pytest.fixture(params=["local disk", "bucket"])
def storage(request, tmp_path):
    if request.param == "local disk":
        yield str(tmp_path / "store"), {}
        return
    with running_s3(tmp_path / "s3.log") as variables:
        yield f"s3://{BUCKET}/{uuid.uuid4().hex}", variables


def test_concurrent_promotions_lose_nothing_and_leave_one_champion(storage, tmp_path, monkeypatch):
    place, variables = storage
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def start(number):
        arguments = [place, f"p{number}", str(EACH), str(tmp_path / f"p{number}.log")]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.testing.promoter", *arguments], cwd=ROOT, env={**os.environ, **variables}
        )

    registry, rng = Registry(Folder(place)), random.Random(4)
    running = {number: start(number) for number in range(PROCESSES)}
    seen, kills, deadline = [], 0, time.monotonic() + 600
    try:
        while any(process.poll() is None for process in running.values()):
            assert time.monotonic() < deadline
            seen = checked(registry, seen)
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
    history = checked(registry, seen)
    wanted = {f"p{number}-{each}" for number in range(PROCESSES) for each in range(EACH)}
    assert sorted(change.version for change in history) == sorted(wanted)
    assert kills == KILLS


def checked(registry, before):
    """The history now, after checking that the champion is whole and that history only grew."""
    held = registry.read()
    if held is None:
        assert not before
        return before
    assert [change.id for change in held.history[: len(before)]] == [change.id for change in before]
    assert held.champion == held.history[-1].version
    check_whole(registry.folder / held.champion, held.checksum)
    return held.history


def test_a_swap_whose_answer_is_lost_is_not_an_error(tmp_path, monkeypatch):
    from botocore.exceptions import ClientError

    from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent

    with running_s3(tmp_path / "s3.log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        pointer, client = Pointer(Folder(f"s3://{BUCKET}/x"), "p.json"), s3.client()

        class Twice:
            """Sends every write twice, as a client does that did not get the answer to the first."""

            get_object = client.get_object

            def put_object(self, **arguments):
                client.put_object(**arguments)
                return client.put_object(**arguments)

        pointer.swap(PointerContent(), "one")
        with monkeypatch.context() as patched:
            patched.setattr(s3, "client", Twice)
            pointer.swap(pointer.read(), "two")
        assert pointer.read().text == "two"
        with pytest.raises(PointerConflictError):
            pointer.swap(PointerContent(), "three")
        with pytest.raises(ClientError):
            Pointer(Folder("s3://nobodys-bucket/x"), "p.json").swap(PointerContent(), "one")
