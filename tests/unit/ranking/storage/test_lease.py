"""The lease of a run: one holder, taken over once it is silent or its process is gone, told to its holder when lost."""

import os
import subprocess
import sys
import threading
import time

import pytest

from ranking.errors import InputError
from ranking.storage import lease as leases
from ranking.storage.folder import Folder
from ranking.storage.lease import NAME, Lease, leased
from ranking.storage.pointer import Pointer

TERM = 0.8


def hold(folder, lost=lambda: None, waits=lambda text: None, job="ray_jobs.label"):
    return leased(folder, job, lost, waits, TERM)


def left_by(folder, **changed):
    """A lease of somebody who does not beat."""
    lease = Lease(holder="x", host="elsewhere", process=1, job="ray_jobs.train").model_copy(update=changed)
    pointer = Pointer(folder, NAME)
    pointer.swap(pointer.read(), lease.model_dump_json())


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "run")


def test_it_is_given_back_and_can_be_taken_again_at_once(folder):
    for _ in range(2):
        began = time.monotonic()
        with hold(folder):
            assert Lease.model_validate_json(folder.read_text(NAME)).process == os.getpid()
        assert time.monotonic() - began < TERM
    with pytest.raises(ZeroDivisionError), hold(folder):
        _ = 1 / 0
    with hold(folder):
        pass


def test_a_second_job_is_refused_while_the_first_is_at_work(folder):
    said = []
    refused = pytest.raises(
        InputError, match=r"run: ray_jobs.label is at work here, process \d+ on .*; wait for its end, or give"
    )
    with hold(folder), refused, hold(folder, waits=said.append):
        pass
    assert said == [f"waiting up to 1 s to see whether ray_jobs.label on {leases._here()} is still at work"]


def test_a_silent_lease_is_taken_over_after_its_term_and_not_before(folder):
    left_by(folder)
    began = time.monotonic()
    with hold(folder):
        assert TERM <= time.monotonic() - began < 3 * TERM


def test_that_of_a_process_of_this_machine_that_ended_at_once(folder):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left_by(folder, host=leases._here(), process=ended.pid)
    began = time.monotonic()
    with hold(folder):
        assert time.monotonic() - began < TERM


@pytest.mark.parametrize("text", ["", "{}", '{"holder": 3}', "\x00"])
def test_a_file_that_is_no_lease_is_replaced(folder, text):
    folder.write_text(NAME, text)
    with hold(folder):
        assert Lease.model_validate_json(folder.read_text(NAME)).job == "ray_jobs.label"


def test_who_lost_it_is_told_once(folder):
    lost = threading.Event()
    with hold(folder, lost=lost.set):
        left_by(folder)
        assert lost.wait(2 * TERM)
    assert Lease.model_validate_json(folder.read_text(NAME)).host == "elsewhere"  # not given back, as it is another's


def test_of_many_at_once_one_gets_it(folder):
    left_by(folder)
    inside, refused, most, lock = [], [], [], threading.Lock()

    def work():
        try:
            with hold(folder):
                with lock:
                    inside.append(1)
                    most.append(len(inside))
                time.sleep(2 * TERM)
                with lock:
                    inside.pop()
        except InputError:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(refused) + len(most) == 6
    assert refused


def test_storage_that_does_not_answer_for_a_while_does_not_cost_the_lease(folder, monkeypatch):
    lost, down, real = threading.Event(), threading.Event(), Pointer.read

    def read(pointer):
        if down.is_set() and threading.current_thread().name == "lease":
            raise OSError("no route")
        return real(pointer)

    monkeypatch.setattr(Pointer, "read", read)
    with hold(folder, lost=lost.set):
        down.set()
        time.sleep(TERM)
        down.clear()
        beat = Lease.model_validate_json(folder.read_text(NAME)).beat
        time.sleep(TERM)
        assert Lease.model_validate_json(folder.read_text(NAME)).beat > beat
    assert not lost.is_set()
