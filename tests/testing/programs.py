"""Programs that tests run to their end."""

import subprocess

from tests.testing.facts import ROOT


def ran(call, environment, seconds):
    """Run a program in the project's root; one that takes too long fails the test with what it has written."""
    try:
        return subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        written = "".join(held.decode() for held in (late.stdout, late.stderr) if held)
        raise AssertionError(f"no end after {seconds} s; it had written:\n{written}") from None
