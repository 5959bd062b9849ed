"""How a job starts and ends: its exit codes, and that it is alone in its run."""

import functools
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ranking.storage.lease import NAME, Lease, leased
from ranking.storage.pointer import Pointer
from ray_jobs.common import run as runs


@pytest.fixture
def ended(tmp_path, monkeypatch, capfd):
    """Runs a job to its end, as a shell would in the background; returns its exit code and the lines of standard error."""
    monkeypatch.setattr(runs, "leased", functools.partial(leased, term=0.8))
    monkeypatch.setattr(os, "_exit", sys.exit)

    def call(main, **more):
        code = 0
        try:
            runs.job(main, ["configs/quickstart.yaml", "--storage", str(tmp_path)], **more)
        except SystemExit as error:
            code = error.code
        return code, capfd.readouterr().err.splitlines()

    handled = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield call
    for number, handler in handled.items():
        signal.signal(number, handler)


def taken_by_another(run):
    pointer = Pointer(run.folder, NAME)
    pointer.swap(pointer.read(), Lease(holder="x", host="elsewhere", process=1, job="ray_jobs.train").model_dump_json())


def test_a_job_that_lost_its_run_stops_in_a_line(ended, tmp_path):
    went_on = []

    def main(run):
        taken_by_another(run)
        time.sleep(20)
        went_on.append(True)

    code, lines = ended(main)
    assert not went_on
    assert (code, lines) == (
        2,
        [f"error: {tmp_path}/quickstart: another job took this run over while this one stood still"],
    )


def test_an_interrupted_job_ends_with_its_own_code_whatever_threads_do_as_python_ends(tmp_path):
    # a thread that waits in Ray may end the process as Ray shuts down
    job = """if True:
        import atexit, os, signal
        from ray_jobs.common.run import job

        atexit.register(os._exit, 1)
        job(lambda run: os.kill(os.getpid(), signal.SIGTERM))
    """
    call = [sys.executable, "-c", job, "configs/quickstart.yaml", "--storage", str(tmp_path)]
    ended = subprocess.run(call, capture_output=True, text=True)
    assert ended.returncode == 130
    assert ended.stderr.startswith("interrupted; to go on from here: ")


def test_jobs_that_only_read_need_no_lease_and_leave_the_settings_alone(ended, tmp_path):
    code, lines = ended(taken_by_another, alone=False)
    assert (code, lines) == (0, [])
    assert not (tmp_path / "quickstart" / "run.yaml").exists()


def test_bad_input_is_two_and_anything_else_one_with_a_trace_and_the_run_is_free_again(ended, tmp_path):
    def bad(run):
        raise InputError("this is wrong")

    def broken(run):
        with run.progress.bar("labels", 3, "queries"):
            raise ZeroDivisionError("by nothing")

    assert ended(bad) == (2, ["error: this is wrong"])
    code, lines = ended(broken)
    assert (code, len(lines)) == (1, 1)
    trace = tmp_path / "quickstart" / "logs" / "trace.txt"
    assert "by nothing" in trace.read_text()
    again = shlex.join(["configs/quickstart.yaml", "--storage", str(tmp_path)])
    kept = f"what was done is kept in {tmp_path}/quickstart; to go on: python -m "
    assert lines[0].startswith(f"failed in labels: ZeroDivisionError: by nothing (trace: {trace}); {kept}")
    assert lines[0].endswith(again)
    assert Lease.model_validate_json(Folder(tmp_path / "quickstart").read_text(NAME)).holder is None
    assert ended(lambda run: None) == (0, [])
