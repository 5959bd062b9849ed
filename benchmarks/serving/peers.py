"""Start our service and the alternatives to it, each with the same weights."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ranking.registry import Registry
from ranking.storage.folder import Folder
from students.precision import dtype_of

ROOT = Path(__file__).parents[2]


@dataclass
class RankServer:
    """A rerank server.

    Attributes:
        name: Name in tables.
        command: Command that starts it.
        route: Route of the rerank endpoint.
        ready: Route that answers 200 once the server is ready.
        environment: Environment variables to add.
        model: Model name to send in requests, if the server requires one.
    """

    name: str
    command: list[str]
    route: str
    ready: str = "/health"
    environment: dict[str, str] = field(default_factory=dict)
    model: str | None = None


def ours(storage: Path, port: int, **serving: object) -> RankServer:
    """Describe our service.

    Args:
        storage: Storage root with the registry.
        port: Port to listen on.
        **serving: Settings of `serving` that differ from the defaults.
    """
    settings = {"storage": storage, "serving.port": port, **{f"serving.{key}": value for key, value in serving.items()}}
    options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    return RankServer(
        "ours", [sys.executable, "-m", "ray_jobs.serve", "configs/quickstart.yaml", *options], "/v1/rerank", "/ready"
    )


def servers_of(model: Path, storage: Path, port: int, infinity: str | None) -> list[RankServer]:
    """Describe all servers, ours first, and promote the model for ours.

    Args:
        model: Folder of the student.
        storage: Storage root for the registry of our service.
        port: Port to listen on.
        infinity: Path of Infinity's program in its own environment; None leaves Infinity out.
    """
    Registry(Folder(storage)).promote(Folder(model), "benchmark", "benchmark", "to be timed")
    vllm = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--runner",
        "pooling",
        "--port",
        str(port),
    ]
    servers = [ours(storage, port)]
    # By default, vLLM runs this model in float16, which CPUs emulate, and pins its threads to cores that its other
    # processes need. A request then takes 5 s on two cores instead of 0.25 s.
    native = "bfloat16" if dtype_of("auto", "cpu") == torch.bfloat16 else "float32"
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    }
    servers.append(
        RankServer(
            "vLLM",
            [*vllm, "--max-model-len", "128", "--dtype", native],
            "/v1/rerank",
            environment=environment,
            model=str(model),
        )
    )
    if infinity:
        command = [
            infinity,
            "v2",
            "--model-id",
            str(model),
            "--port",
            str(port),
            "--engine",
            "torch",
            "--device",
            "cpu",
        ]
        options = ["--no-bettertransformer", "--served-model-name", "m", "--log-level", "error"]
        servers.append(
            RankServer("Infinity", [*command, *options], "/rerank", environment={"HF_HUB_OFFLINE": "1"}, model="m")
        )
    plain = [sys.executable, "-m", "benchmarks.serving.plain_server", str(model), str(port)]
    servers.append(RankServer("sentence-transformers", plain, "/v1/rerank"))
    return servers


@dataclass
class RunningServer:
    """A server that is ready.

    Attributes:
        url: URL of the rerank endpoint.
        process: Process of the server.
    """

    url: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running(server: RankServer, port: int, log: Path, seconds: float = 300) -> Iterator[RunningServer]:
    """Start a server, yield it once it is ready, and stop all its processes afterwards.

    Args:
        server: The server.
        port: Port that it listens on.
        log: File for its output.
        seconds: Time limit until it is ready.

    Raises:
        SystemExit: The server does not become ready.
    """
    with log.open("w") as stream:
        process = subprocess.Popen(
            server.command,
            cwd=ROOT,
            env={**os.environ, **server.environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + seconds
        while not _is_ready(f"http://127.0.0.1:{port}{server.ready}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{server.name} did not start: {log.read_text()[-3000:]}")
            time.sleep(1)
        yield RunningServer(f"http://127.0.0.1:{port}{server.route}", process)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
