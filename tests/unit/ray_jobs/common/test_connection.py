"""Clusters that cannot be joined: a line each, within seconds."""

import os
import subprocess
import sys

import pytest

from ray_jobs.common.connection import refusal_of
from tests.testing.facts import ROOT
from tools.ports import free_ports

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.44.0
    Python: 3.10.4
This process on node 10.0.0.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


def test_where_nothing_listens_a_job_ends_within_seconds_with_a_line(tmp_path):
    address = f"127.0.0.1:{free_ports(1)[0]}"
    call = [sys.executable, "-m", "ray_jobs.select", "configs/quickstart.yaml", "--storage", str(tmp_path)]
    done = subprocess.run(
        call, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (
        2,
        f"error: RAY_ADDRESS {address}: no Ray cluster answers there (Connection refused)\n",
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError(MISMATCH),
            "the cluster is of another version: it has Ray: 2.44.0 Python: 3.10.4, this is Ray: 2.60.0 Python: 3.11.7",
        ),
        (ConnectionError("Failed to connect to h:1\nmore"), "no Ray cluster answers there (Failed to connect to h:1)"),
        (
            ValueError("Invalid address format: x"),
            "is no address of a cluster (Invalid address format: x); HOST:PORT or `auto` would be one",
        ),
    ],
)
def test_what_ray_raises_becomes_a_line(error, line):
    assert refusal_of(error, "h:1") == f"RAY_ADDRESS h:1: {line}"


def test_other_errors_are_not_taken_for_it():
    assert refusal_of(RuntimeError("something else"), "h:1") is None
