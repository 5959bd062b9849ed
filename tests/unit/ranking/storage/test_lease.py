"""Tests of the run lease: exclusive ownership, takeover after the term or process exit, and notification of loss."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ranking.errors import InputError
from ranking.storage import lease as leases
from ranking.storage.folder import Folder
from ranking.storage.lease import NAME, Lease, leased
from ranking.storage.pointer import Pointer

TERM = 0.8


def lease_of(folder, on_lost=lambda: None, on_wait=lambda text: None, job="ray_jobs.label"):
    """Acquire the lease with a short term."""
    return leased(folder, job, on_lost, on_wait, TERM)


def write_dead_lease(folder, **changed):
    """Write a lease that gets no heartbeats, as if its owner had died."""
    lease = Lease(holder="x", host="elsewhere", process=1, job="ray_jobs.train").model_copy(update=changed)
    pointer = Pointer(folder, NAME)
    pointer.swap(pointer.read(), lease.model_dump_json())


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "run")


def test_released_lease_can_be_acquired_at_once(folder):
    waits = []
    for _ in range(2):
        with lease_of(folder, on_wait=waits.append):
            assert Lease.model_validate_json(folder.read_text(NAME)).process == os.getpid()
    assert waits == []
    with pytest.raises(ZeroDivisionError), lease_of(folder):
        _ = 1 / 0
    with lease_of(folder):
        pass


def test_second_job_is_rejected_while_the_first_is_running(folder):
    messages = []
    rejected = pytest.raises(
        InputError, match=r"run: ray_jobs.label is running here \(process \d+ on .*\); wait until it ends, or give"
    )
    with lease_of(folder), rejected, lease_of(folder, on_wait=messages.append):
        pass
    assert messages == [f"waiting up to 1 s to check whether ray_jobs.label on {leases._this_host()} is still running"]


def test_dead_lease_is_taken_over_after_its_term_and_not_before(folder):
    write_dead_lease(folder)
    began = time.monotonic()
    with lease_of(folder):
        assert TERM <= time.monotonic() - began < 3 * TERM


def test_lease_of_an_ended_local_process_is_taken_over_at_once(folder):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_dead_lease(folder, host=leases._this_host(), process=ended.pid)
    waits = []
    with lease_of(folder, on_wait=waits.append):
        assert waits == []


def test_process_id_of_another_pid_namespace_is_not_taken_for_a_local_one(folder, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "readlink", lambda path: Path("pid:[1]"))
        container = leases._this_host()
    write_dead_lease(folder, host=container, process=ended.pid)
    waits = []
    with lease_of(folder, on_wait=waits.append):
        assert len(waits) == 1


def test_host_identity_differs_in_a_container_with_the_same_host_name():
    command = "from ranking.storage import lease; print(lease._this_host())"
    container = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*container, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow new PID namespaces")
    done = subprocess.run([*container, sys.executable, "-c", command], capture_output=True, text=True, check=True)
    inside, here = done.stdout.strip(), leases._this_host()
    assert inside.rpartition("/")[0] == here.rpartition("/")[0]
    assert inside != here


@pytest.mark.parametrize("content", [b"", b"{}", b'{"holder": 3}', b"\x00", b'{"holder": "\xff"}'])
def test_invalid_lease_file_is_replaced(folder, content):
    folder.write_text(NAME, "")
    Path(folder.path, NAME).write_bytes(content)
    with lease_of(folder):
        assert Lease.model_validate_json(folder.read_text(NAME)).job == "ray_jobs.label"


def test_owner_is_notified_when_the_lease_is_lost(folder):
    lost = threading.Event()
    with lease_of(folder, on_lost=lost.set):
        write_dead_lease(folder)
        assert lost.wait(2 * TERM)
    assert (
        Lease.model_validate_json(folder.read_text(NAME)).host == "elsewhere"
    )  # not released, because it belongs to another job


def test_only_one_of_many_concurrent_jobs_acquires_the_lease(folder):
    write_dead_lease(folder)
    active, rejected, counts, lock = [], [], [], threading.Lock()

    def work():
        try:
            with lease_of(folder):
                with lock:
                    active.append(1)
                    counts.append(len(active))
                time.sleep(2 * TERM)
                with lock:
                    active.pop()
        except InputError:
            rejected.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(counts) == 1
    assert len(rejected) + len(counts) == 6
    assert rejected


def test_temporary_storage_failure_keeps_the_lease(folder, monkeypatch):
    lost, down, real = threading.Event(), threading.Event(), Pointer.read

    def read(pointer):
        if down.is_set() and threading.current_thread().name == "lease":
            raise OSError("no route")
        return real(pointer)

    monkeypatch.setattr(Pointer, "read", read)
    with lease_of(folder, on_lost=lost.set):
        down.set()
        time.sleep(TERM)
        down.clear()
        beat = Lease.model_validate_json(folder.read_text(NAME)).beat
        time.sleep(TERM)
        assert Lease.model_validate_json(folder.read_text(NAME)).beat > beat
    assert not lost.is_set()
