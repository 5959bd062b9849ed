"""Failures with an external cause are described in one line."""

import errno
import pickle

import pytest

from ranking.errors import CorruptFileError, InputError
from ray_jobs.common.failures import external_cause, input_error

FROM_A_WORKER = """ray::MapWorker(MapBatches(ListwiseActor)).submit() (pid=1, ip=127.0.0.11)
Traceback (most recent call last):
  File "memory.py", line 1, in write
OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"""
DENIED = "When reading 'k' in bucket 'b': AWS Error ACCESS_DENIED during GetObject operation: Access Denied"


def chained(inner):
    try:
        try:
            raise inner
        except Exception as error:
            raise RuntimeError("the stage failed") from error
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(FROM_A_WORKER), "a disk is full (OSError: [Errno 28] Error writing bytes to file. Detail:"),
        (
            chained(OSError(errno.ENOSPC, "No space left on device", "/data/part")),
            "a disk is full ([Errno 28] No space left on device: '/data/part')",
        ),
        (
            OSError("When writing: AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7"),
            "the storage service failed (When writing: AWS",
        ),
        (
            RuntimeError("An error occurred (SlowDown) when calling the PutObject operation (reached max retries: 4)"),
            "the storage service failed (An error occurred (SlowDown)",
        ),
        (OSError(DENIED), "access denied: the credentials lack s3:GetObject"),
    ],
)
def test_external_cause_is_found_in_causes_and_worker_errors(error, expected):
    assert external_cause(error).startswith(expected)


DAMAGED = "/runs/labels/part.parquet: the file is damaged (it is empty); delete it"
IN_A_WORKER = f"""The actor died because of an error raised in its creation task, ray::MapWorker.__init__() (pid=1)
  File "files.py", line 1, in read
ranking.errors.CorruptFileError: {DAMAGED}"""


@pytest.mark.parametrize(
    "error",
    [
        InputError(DAMAGED),
        CorruptFileError("/runs/labels/part.parquet", "it is empty", "delete it"),
        pickle.loads(pickle.dumps(CorruptFileError("/runs/labels/part.parquet", "it is empty", "delete it"))),
        RuntimeError(IN_A_WORKER),
        InputError(IN_A_WORKER),
        chained(RuntimeError(IN_A_WORKER)),
    ],
)
def test_input_error_of_a_worker_is_one_line(error):
    assert input_error(error) == DAMAGED


def test_driver_can_replace_the_message_of_a_worker():
    error = InputError(f"on a worker of the cluster: {DAMAGED}")
    error.__context__ = RuntimeError(IN_A_WORKER)
    assert input_error(error) == f"on a worker of the cluster: {DAMAGED}"


@pytest.mark.parametrize("error", [ValueError("No space between words"), chained(KeyError("x")), RuntimeError("")])
def test_other_failures_have_no_external_cause(error):
    assert external_cause(error) is None
    assert input_error(error) is None
