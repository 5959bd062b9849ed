"""Joining a cluster, or starting Ray on this machine."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import time

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ray_jobs.common.job_logs import JobLogs

MINIMUM_LOGICAL_CPUS = 4
_SECONDS = 5.0
_VERSIONS = re.compile(r"The cluster was started with:(.*?)This process.*?with:(.*)", re.DOTALL)


def start_ray(logs: JobLogs, dashboard: bool = False) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start Ray here. What Ray, Ray Data and vLLM log goes to the job's logs.

    Raises InputError where no cluster of this Ray and Python answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    logs.begin()
    import ray
    import ray.data

    logs.take()
    if not ray.is_initialized():
        local = "RAY_ADDRESS" not in os.environ
        # "local", or Ray would join whatever cluster it finds on this machine
        own = {"address": "local", "num_cpus": max(MINIMUM_LOGICAL_CPUS, os.cpu_count() or 1)} if local else {}
        if not local:
            _check_answers(os.environ["RAY_ADDRESS"])
        try:
            ray.init(
                log_to_driver=False,
                logging_level=logging.WARNING,
                include_dashboard=dashboard if local else None,
                **own,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            refused = None if local else refusal_of(error, os.environ["RAY_ADDRESS"])
            if refused is None:
                raise
            raise InputError(refused) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)  # Ray's own handler aborts
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.issue_detectors_config.detectors = []
    logs.take()


def interrupt(*_: object) -> None:
    """What a job does with SIGTERM. SIGINT would not do: a shell lets what it starts in the background ignore that."""
    raise KeyboardInterrupt


def _check_answers(address: str) -> None:
    """Raise InputError where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    if not host or not port.isdigit():
        return  # `auto`, or something that Ray refuses by itself
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _SECONDS).close()
        except OSError as error:
            if time.monotonic() > deadline:  # a busy machine may refuse once
                raise InputError(
                    f"RAY_ADDRESS {address}: no Ray cluster answers there ({error.strerror or error})"
                ) from None
            time.sleep(1)
        else:
            return


def refusal_of(error: Exception, address: str) -> str | None:
    """Why a cluster cannot be joined, in a line; None for what is no matter of the address."""
    text = str(error)
    if "ersion mismatch" in text:
        told = _VERSIONS.search(text)
        versions = [" ".join(part.split()) for part in told.groups()] if told else [" ".join(text.split())]
        return f"RAY_ADDRESS {address}: the cluster is of another version: it has {versions[0]}, this is {versions[-1]}"
    if isinstance(error, ConnectionError) or "connect" in text.lower():
        return f"RAY_ADDRESS {address}: no Ray cluster answers there ({text.splitlines()[0][:160]})"
    if isinstance(error, ValueError):
        return f"RAY_ADDRESS {address}: is no address of a cluster ({text.splitlines()[0][:160]}); HOST:PORT or `auto` would be one"
    return None


def check_workers_write(folder: Folder) -> None:
    """Raise InputError where a worker cannot write to storage, most often for want of the driver's credentials."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        ray.get(ray.remote(Folder.check_writable).options(num_cpus=0).remote(folder))
    except RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise InputError(f"on a worker of the cluster: {error.cause}") from None
        raise
