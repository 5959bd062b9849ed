"""Start and end of a job: exit codes, messages, and exclusive access to the run."""

import functools
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from ranking.errors import InputError
from ranking.external_ends import ServiceError, WaitingError
from ranking.storage.folder import Folder
from ranking.storage.lease import NAME, Lease, leased
from ranking.storage.pointer import Pointer
from ray_jobs.common import run as runs


@pytest.fixture
def run_job(tmp_path, monkeypatch, capfd):
    """Return a function that runs a job as a shell's background job and returns its exit code and lines of stderr."""
    monkeypatch.setattr(runs, "leased", functools.partial(leased, term=0.8))
    monkeypatch.setattr(os, "_exit", sys.exit)

    def call(main, **more):
        code = 0
        try:
            runs.job(main, arguments=["configs/quickstart.yaml", "--storage", str(tmp_path)], **more)
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


def test_job_that_lost_its_run_stops_with_one_line(run_job, tmp_path):
    continued = []

    def main(run):
        taken_by_another(run)
        time.sleep(20)
        continued.append(True)

    code, lines = run_job(main)
    assert not continued
    assert (code, lines) == (
        2,
        [f"error: {tmp_path}/quickstart: another job took over this run while this job was stalled"],
    )


def test_interrupted_job_exits_with_130_whatever_threads_do_at_exit(tmp_path):
    # a thread that waits in Ray may exit the process during shutdown
    job = """if True:
        import atexit, os, signal
        from ray_jobs.common.run import job

        atexit.register(os._exit, 1)
        job(lambda run: os.kill(os.getpid(), signal.SIGTERM))
    """
    call = [sys.executable, "-c", job, "configs/quickstart.yaml", "--storage", str(tmp_path)]
    ended = subprocess.run(call, capture_output=True, text=True)
    assert ended.returncode == 130
    assert ended.stderr.startswith("interrupted; to resume: ")


def test_read_only_jobs_take_no_lease_and_write_no_settings(run_job, tmp_path):
    code, lines = run_job(taken_by_another, exclusive=False)
    assert (code, lines) == (0, [])
    assert not (tmp_path / "quickstart" / "run.yaml").exists()


def test_job_that_waits_for_results_exits_with_3_and_one_line(run_job, tmp_path):
    def waits(run):
        raise WaitingError("9 requests wait for results")

    arguments = shlex.join(["configs/quickstart.yaml", "--storage", str(tmp_path)])
    code, (line,) = run_job(waits)
    assert code == 3
    assert line.startswith("waiting: 9 requests wait for results; to continue: python -m ")
    assert line.endswith(arguments)
    assert not (tmp_path / "quickstart" / "logs" / "trace.txt").exists()


def test_failing_service_exits_with_2_and_advice_to_resume(run_job):
    def fails(run):
        raise ServiceError("api.example.com failed 7 times in a row")

    code, (line,) = run_job(fails)
    assert code == 2
    assert line.startswith("error: api.example.com failed 7 times in a row; finished work is saved in ")
    assert "; to resume: python -m " in line


def test_exit_codes_trace_and_released_lease_after_errors(run_job, tmp_path):
    def bad(run):
        raise InputError("this is wrong")

    def broken(run):
        with run.progress.bar("labels", 3, "queries"):
            raise ZeroDivisionError("by nothing")

    assert run_job(bad) == (2, ["error: this is wrong"])
    code, lines = run_job(broken)
    assert (code, len(lines)) == (1, 1)
    trace = tmp_path / "quickstart" / "logs" / "trace.txt"
    assert "by nothing" in trace.read_text()
    arguments = shlex.join(["configs/quickstart.yaml", "--storage", str(tmp_path)])
    advice = f"finished work is saved in {tmp_path}/quickstart; to resume: python -m "
    assert lines[0].startswith(f"failed in labels: ZeroDivisionError: by nothing (trace: {trace}); {advice}")
    assert lines[0].endswith(arguments)
    assert Lease.model_validate_json(Folder(tmp_path / "quickstart").read_text(NAME)).holder is None
    assert run_job(lambda run: None) == (0, [])
