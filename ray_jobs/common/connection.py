"""Connect to a Ray cluster, or start Ray on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from ranking import usage_statistics
from ranking.errors import InputError
from ranking.storage.folder import Folder
from ray_jobs.common.job_logs import JobLogs

MINIMUM_LOGICAL_CPUS = 4
_CONNECT_SECONDS = 5.0
_VERSIONS = re.compile(r"The cluster was started with:(.*?)This process.*?with:(.*)", re.DOTALL)


def start_ray(logs: JobLogs, dashboard: bool = False) -> None:
    """Connect to the cluster at RAY_ADDRESS, or start Ray on this machine.

    Args:
        logs: Receives the logs of Ray, Ray Data and vLLM.
        dashboard: Whether to start Ray's dashboard too if Ray is started on this machine.

    Raises:
        InputError: If no cluster answers at RAY_ADDRESS, or it runs another version of Ray or Python.
    """
    usage_statistics.turn_off()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    logs.redirect_output()
    import ray
    import ray.data

    logs.attach_handlers()
    if not ray.is_initialized():
        local = "RAY_ADDRESS" not in os.environ
        # without "local", Ray would join any cluster that it finds on this machine
        options: dict[str, Any] = {}
        if local:
            options = {"address": "local", "num_cpus": max(MINIMUM_LOGICAL_CPUS, os.cpu_count() or 1)}
        else:
            _check_reachable(os.environ["RAY_ADDRESS"])
            options = {"runtime_env": {"env_vars": usage_statistics.variables_for_workers()}}
        if local:
            protect_token()
        try:
            ray.init(
                log_to_driver=False,
                logging_level=logging.WARNING,
                include_dashboard=dashboard if local else None,
                **options,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            message = None if local else connection_error(error, os.environ["RAY_ADDRESS"])
            if message is None:
                raise
            raise InputError(message) from None
        if local:
            protect_token()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)  # Ray's own handler aborts the process
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.issue_detectors_config.detectors = []
    logs.attach_handlers()


def protect_token() -> None:
    """Let only this user read ~/.ray/auth_token, which Ray creates readable for all users of the machine.

    Call this before Ray starts, which creates a private folder for a new token, and afterwards.
    """
    with contextlib.suppress(OSError, RuntimeError):  # no home folder, or one that this process cannot change
        folder = Path.home() / ".ray"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "auth_token").chmod(0o600)


def interrupt(*_: object) -> None:
    """Handle SIGTERM like Ctrl-C. SIGINT would not be enough, because shells make background jobs ignore it."""
    raise KeyboardInterrupt


def _check_reachable(address: str) -> None:
    """Raise InputError if nothing listens at an address. Ray itself would retry for minutes."""
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or not an address, which Ray itself rejects
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except OSError as error:
            if time.monotonic() > deadline:  # retry, because a busy machine may refuse a connection
                raise InputError(
                    f"RAY_ADDRESS {address}: cannot connect to a Ray cluster ({error.strerror or error})"
                ) from None
            time.sleep(1)
        else:
            return


def connection_error(error: Exception, address: str) -> str | None:
    """Describe in one line why Ray cannot join the cluster at an address; None if the address is not the cause."""
    text = str(error)
    if "ersion mismatch" in text:
        match = _VERSIONS.search(text)
        versions = [" ".join(part.split()) for part in match.groups()] if match else [" ".join(text.split())]
        return (
            f"RAY_ADDRESS {address}: version mismatch; the cluster runs {versions[0]}, "
            f"this process runs {versions[-1]}; use the same versions"
        )
    if isinstance(error, ConnectionError) or "connect" in text.lower():
        return f"RAY_ADDRESS {address}: cannot connect to a Ray cluster ({text.splitlines()[0][:160]})"
    if isinstance(error, ValueError):
        return f"RAY_ADDRESS {address}: not a cluster address ({text.splitlines()[0][:160]}); use HOST:PORT or `auto`"
    return None


def check_workers_write(folder: Folder) -> None:
    """Check that workers can write to storage. They cannot if, for example, they lack the driver's credentials.

    Raises:
        InputError: If a worker cannot write.
    """
    import ray
    from ray.exceptions import RayTaskError

    try:
        ray.get(ray.remote(Folder.check_writable).options(num_cpus=0).remote(folder))
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise InputError(f"on a worker of the cluster: {error.cause}") from None
        raise
