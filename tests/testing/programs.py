"""Run programs to completion in tests."""

import subprocess

from tests.testing.facts import ROOT


def run_program(command, environment, timeout):
    """Run a program in the project root.

    Args:
        command: Program and arguments.
        environment: All environment variables.
        timeout: Seconds until the test fails with the output so far.
    """
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        output = "".join(stream.decode() for stream in (error.stdout, error.stderr) if stream)
        raise AssertionError(f"the program did not end within {timeout} s; its output:\n{output}") from None
