"""Clusters that cannot be joined are reported in one line within seconds."""

import os
import subprocess
import sys
from unittest.mock import MagicMock

import pytest

from ray_jobs.common import connection
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


TOKEN = """
import os
import sys
from pathlib import Path
import ray
from ray._private.authentication.authentication_token_setup import generate_and_save_token
from ray_jobs.common.connection import start_ray
from ray_jobs.common.job_logs import JobLogs
def init(**_):  # replaces the start of a cluster; Ray calls the same function for a new token
    generate_and_save_token()
    folder = Path.home() / ".ray"
    print(oct(folder.stat().st_mode & 0o777), file=stdout)
ray.init = init
stdout = sys.stdout
os.umask(0o022)
start_ray(JobLogs(Path.home() / "logs", "run", lambda: None))
print(oct((Path.home() / ".ray" / "auth_token").stat().st_mode & 0o777), file=stdout)
"""


@pytest.mark.parametrize(("existing", "folder"), [(False, "0o700"), (True, "0o755")])
def test_only_this_user_can_read_the_token_of_a_local_cluster(tmp_path, existing, folder):
    if existing:
        (tmp_path / ".ray").mkdir(mode=0o755)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", TOKEN],
        cwd=ROOT,
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == [folder, "0o600"], done.stderr


def test_workers_of_a_cluster_get_the_variables_of_the_driver(tmp_path, monkeypatch):
    import ray

    started = {}
    monkeypatch.setattr(ray, "init", lambda **options: started.update(options))
    monkeypatch.setattr(connection, "_check_reachable", lambda address: None)
    for name, value in {"RAY_ADDRESS": "h:1", "VLLM_NO_USAGE_STATS": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY", "VLLM_LOGGING_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # `start_ray` sets defaults
    monkeypatch.setattr(connection.signal, "signal", MagicMock())
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    connection.start_ray(MagicMock())
    expected = {"VLLM_NO_USAGE_STATS": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    assert started["runtime_env"] == {"env_vars": expected}


def test_other_errors_are_not_connection_errors():
    assert connection_error(RuntimeError("something else"), "h:1") is None
