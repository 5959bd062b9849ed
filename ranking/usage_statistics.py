"""Usage statistics of Ray, vLLM, Hugging Face, MLflow and OpenVINO: off unless the user turns them on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

RAY_DEFAULT = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Default of the variable that every process reads that starts a Ray node."""

WORKER_DEFAULTS = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Defaults of the variables that driver and workers read."""

DRIVER_DEFAULTS = {"MLFLOW_DISABLE_TELEMETRY": "true"}
"""Defaults of the variables that only drivers read."""

_DO_NOT_TRACK = "DO_NOT_TRACK"
_OPENVINO_PACKAGE = "openvino_telemetry"
_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def turn_off(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the defaults in an environment. Variables that are set stay unchanged.

    Libraries read the variables when they are imported, so call this before importing them.
    """
    for name, value in (RAY_DEFAULT | WORKER_DEFAULTS | DRIVER_DEFAULTS).items():
        environment.setdefault(name, value)


def variables_for_workers() -> dict[str, str]:
    """Return the variables of this process that the workers of a cluster need in their runtime environment.

    Leaves out the variables in the runtime environment of `ray job submit`. Ray passes these on itself, and rejects a
    second value.
    """
    submitted = json.loads(os.environ.get(_JOB_CONFIG) or "{}").get("runtime_env") or {}
    names = [name for name in (*WORKER_DEFAULTS, _DO_NOT_TRACK) if name in os.environ]
    return {name: os.environ[name] for name in names if name not in (submitted.get("env_vars") or {})}


def turn_off_openvino() -> None:
    """Prevent `import openvino` from sending an event, unless the user ran `opt_in_out --opt_in`.

    OpenVINO has no environment variable for this. It falls back to a stub if its telemetry package cannot be imported,
    which the entry None in `sys.modules` causes.
    """
    try:
        consent = (Path.home() / "intel" / _OPENVINO_PACKAGE).read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        consent = ""
    if consent != "1":
        sys.modules.setdefault(_OPENVINO_PACKAGE, None)  # type: ignore[arg-type]
