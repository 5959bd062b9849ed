"""Usage statistics are off unless the user turns them on, in every process that would send them."""

import json
import os
import subprocess
import sys
from unittest.mock import MagicMock

import pytest
import yaml

from ranking import usage_statistics
from ranking.errors import InputError
from ranking.usage_statistics import RAY_DEFAULT, WORKER_DEFAULTS
from tests.testing.facts import ROOT

NAMES = (*RAY_DEFAULT, *WORKER_DEFAULTS, "VLLM_DO_NOT_TRACK", "DO_NOT_TRACK", "DISABLE_TELEMETRY", "CI")
OFF = {"RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture
def environment(monkeypatch):
    for name in (*NAMES, "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.setenv(name, "")  # restores or removes the variable after the test, whatever the test sets it to
        monkeypatch.delenv(name)
    return monkeypatch


def answer_of(code, home, **variables):
    """Return what a new process prints that has no usage variables except the given ones."""
    inherited = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**inherited, "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_job_turns_usage_statistics_off_before_it_reads_anything(tmp_path, environment):
    code = """
import os, sys
import ray_jobs.select
from ray_jobs.common.run import job
sys.argv = ["select", "missing.yaml"]
try:
    job(ray_jobs.select.main)
except SystemExit:
    print(*(os.environ.get(name) for name in ("RAY_USAGE_STATS_ENABLED", "VLLM_NO_USAGE_STATS")))
    from huggingface_hub import constants
    print(constants.HF_HUB_DISABLE_TELEMETRY)
"""
    assert answer_of(code, tmp_path) == ["0", "1", "True"]
    assert answer_of(code, tmp_path, HF_HUB_DISABLE_TELEMETRY="0", VLLM_NO_USAGE_STATS="0") == ["0", "0", "False"]


@pytest.mark.parametrize(("before", "during"), [(None, "1"), ("0", "0")])
def test_a_vllm_engine_turns_its_usage_statistics_off(before, during, environment):
    from actors.vllm.engine import VllmEngine

    if before is not None:
        environment.setenv("VLLM_NO_USAGE_STATS", before)
    seen = []

    def start(*_, **__):
        seen.append(os.environ.get("VLLM_NO_USAGE_STATS"))
        raise RuntimeError("the test needs no engine")

    # replaces vLLM, whose engine takes half a minute to start
    for name in ("vllm", "vllm.v1.engine.async_llm", "vllm.v1.metrics.ray_wrappers"):
        environment.setitem(sys.modules, name, MagicMock())
    sys.modules["vllm.v1.engine.async_llm"].AsyncLLM.from_engine_args = start
    with pytest.raises(InputError, match="the test needs no engine"):
        VllmEngine("minilm", None, "embed", {}, 1, None)
    assert seen == [during]


def test_vllm_reads_the_variable_that_is_set(environment):
    from vllm import envs

    assert not envs.VLLM_NO_USAGE_STATS
    usage_statistics.turn_off()
    assert envs.VLLM_NO_USAGE_STATS


def test_workers_of_a_cluster_get_the_values_of_the_driver(environment):
    environment.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    environment.setenv("DO_NOT_TRACK", "1")
    usage_statistics.turn_off()
    assert usage_statistics.variables_for_workers() == {
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "0",
        "DO_NOT_TRACK": "1",
    }


def test_variables_of_the_submitted_job_are_left_to_ray(environment):
    submitted = {"runtime_env": {"env_vars": {"VLLM_NO_USAGE_STATS": "0"}}}
    environment.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(submitted))
    usage_statistics.turn_off()
    assert usage_statistics.variables_for_workers() == {"HF_HUB_DISABLE_TELEMETRY": "1"}


OPENVINO = """
from pathlib import Path
from students import onnx_file
try:
    onnx_file.OpenVinoStudent(Path("no such file"), None)
except Exception:
    pass
import sys
print("openvino_telemetry.main" in sys.modules)
"""


def test_openvino_sends_nothing_unless_the_user_opted_in(tmp_path):
    assert answer_of(OPENVINO, tmp_path) == ["False"]
    assert not (tmp_path / "intel").exists()


def test_openvino_telemetry_stays_on_after_an_opt_in(tmp_path):
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "openvino_telemetry").write_text("1")
    # with CI set, the package is imported but sends nothing
    assert answer_of(OPENVINO, tmp_path, CI="true") == ["True"]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_runtime_environments_turn_usage_statistics_off(name):
    variables = yaml.safe_load((ROOT / "runtime_env" / f"{name}.yaml").read_text())["env_vars"]
    assert variables.items() >= WORKER_DEFAULTS.items()


def test_all_cluster_nodes_start_with_usage_statistics_off():
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    commands = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    starts = [command for command in commands if "ray start" in command]
    assert len(starts) == 2
    assert all("RAY_USAGE_STATS_ENABLED=0 " in command.partition("ray start")[0] for command in starts)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert all(f"{name}={value}" in dockerfile for name, value in OFF.items())


@pytest.mark.parametrize(("name", "cluster"), [("rayjob", "rayClusterSpec"), ("rayservice", "rayClusterConfig")])
def test_all_pods_start_with_usage_statistics_off(name, cluster):
    spec = yaml.safe_load((ROOT / "deploy" / "kuberay" / f"{name}.yaml").read_text())["spec"]
    groups = [spec[cluster]["headGroupSpec"], *spec[cluster]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    text = spec["runtimeEnvYAML"] if name == "rayjob" else spec["serveConfigV2"]
    assert 'HF_HUB_DISABLE_TELEMETRY: "1"' in text
    if name == "rayjob":
        assert yaml.safe_load(text)["env_vars"].items() >= WORKER_DEFAULTS.items()
