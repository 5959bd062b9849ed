"""Labelling whose driver and engine are killed: no label is lost, none stands twice."""

import subprocess
import sys

import pytest

from tests.system.conftest import ROOT


@pytest.mark.timeout(900)
def test_labelling_killed_twice_ends_as_if_nothing_had_happened():
    call = [sys.executable, "-m", "benchmarks.kills", "--kills", "2", "--seed", "4", "--queries", "120"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
