"""Clusters that cannot be joined are reported in one line within seconds."""

import os
import subprocess
import sys

import pytest

from ray_jobs.common.connection import connection_error
from tests.testing.facts import ROOT
from tools.ports import free_ports

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.44.0
    Python: 3.10.4
This process on node 10.0.0.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


def test_job_exits_within_seconds_if_nothing_listens_at_the_address(tmp_path):
    address = f"127.0.0.1:{free_ports(1)[0]}"
    call = [sys.executable, "-m", "ray_jobs.select", "configs/quickstart.yaml", "--storage", str(tmp_path)]
    done = subprocess.run(
        call, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": address}, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (
        2,
        f"error: RAY_ADDRESS {address}: cannot connect to a Ray cluster (Connection refused)\n",
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            RuntimeError(MISMATCH),
            "version mismatch; the cluster runs Ray: 2.44.0 Python: 3.10.4, "
            "this process runs Ray: 2.60.0 Python: 3.11.7; use the same versions",
        ),
        (
            ConnectionError("Failed to connect to h:1\nmore"),
            "cannot connect to a Ray cluster (Failed to connect to h:1)",
        ),
        (
            ValueError("Invalid address format: x"),
            "not a cluster address (Invalid address format: x); use HOST:PORT or `auto`",
        ),
    ],
)
def test_ray_errors_are_described_in_one_line(error, line):
    assert connection_error(error, "h:1") == f"RAY_ADDRESS h:1: {line}"


def test_other_errors_are_not_connection_errors():
    assert connection_error(RuntimeError("something else"), "h:1") is None
