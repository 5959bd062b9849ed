"""Our service and what a user would pick instead, each started on a port with the same weights."""

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
    """A server. route: that ranks. ready: that answers once it does."""

    name: str
    command: list[str]
    route: str
    ready: str = "/health"
    environment: dict[str, str] = field(default_factory=dict)
    model: str | None = None


def ours(storage: Path, port: int, **serving: object) -> RankServer:
    """Our service. serving: settings of it that are not the default."""
    settings = {"storage": storage, "serving.port": port, **{f"serving.{key}": value for key, value in serving.items()}}
    given = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    return RankServer(
        "ours", [sys.executable, "-m", "ray_jobs.serve", "configs/quickstart.yaml", *given], "/v1/rerank", "/ready"
    )


def sides_of(model: Path, storage: Path, port: int, infinity: str | None) -> list[RankServer]:
    """All sides; Infinity where its program is given, as it lives in an environment of its own."""
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
    sides = [ours(storage, port)]
    # By itself vLLM's server computes this model in float16, which a processor emulates, and binds its threads to cores that
    # the rest of it needs too: 5 s a request on two cores instead of a quarter.
    native = "bfloat16" if dtype_of("auto", "cpu") == torch.bfloat16 else "float32"
    room = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    sides.append(
        RankServer(
            "vLLM",
            [*vllm, "--max-model-len", "128", "--dtype", native],
            "/v1/rerank",
            environment=room,
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
        sides.append(
            RankServer("Infinity", [*command, *options], "/rerank", environment={"HF_HUB_OFFLINE": "1"}, model="m")
        )
    plain = [sys.executable, "-m", "benchmarks.serving.plain_server", str(model), str(port)]
    sides.append(RankServer("sentence-transformers", plain, "/v1/rerank"))
    return sides


@dataclass
class RunningServer:
    """A server that answers. url: of the route that ranks."""

    url: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running(side: RankServer, port: int, log: Path, seconds: float = 300) -> Iterator[RunningServer]:
    """Start a server; it is yielded once it is ready, and ended with all its processes."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            side.command,
            cwd=ROOT,
            env={**os.environ, **side.environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + seconds
        while not _answers(f"http://127.0.0.1:{port}{side.ready}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{side.name} did not start: {log.read_text()[-3000:]}")
            time.sleep(1)
        yield RunningServer(f"http://127.0.0.1:{port}{side.route}", process)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
