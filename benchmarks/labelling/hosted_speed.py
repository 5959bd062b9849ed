"""Compare a hosted teacher with the same model in vLLM: labels per second, with the same engine settings.

    python -m benchmarks.labelling.hosted_speed [--lists 120] [--rounds 2] [--out FILE.json]

One side is the teacher with the backend `vllm`. The other has the backend `openai` and asks vLLM's own server on
loopback. Both run minilm-list over the same lists of the pydoc collection through Ray Data, and must give the same
orders. The clock runs from the end of a warm-up to the last list.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from actors.compute_settings import ComputeSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from benchmarks.labelling.pydoc_lists import head_and_tail, real_lists
from ranking.model_paths import model_path
from ranking.records import Provenance
from tools.ports import free_ports

_SEQUENCES = 16
ENGINE = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": _SEQUENCES}
_WARM_UP_LISTS = 4
_START_SECONDS = 240
_TARGET = 0.9


@contextmanager
def running_vllm(log: Path) -> Iterator[str]:
    """Run vLLM's OpenAI server with minilm-list, and yield its base URL."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_path("minilm-list"))]
    command += ["--served-model-name", "minilm-list", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--enforce-eager", "--max-num-seqs", str(_SEQUENCES)]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("w") as stream:
        server = subprocess.Popen(command, env={**os.environ, **environment}, stdout=stream, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise SystemExit(log.read_text()[-3000:])


def measure(url: str | None, lists: int) -> dict[str, Any]:
    """Label lists through Ray Data.

    Args:
        url: Base URL of the server; None for the backend `vllm`.
        lists: Number of timed lists.

    Returns:
        Labels per second, and the order of each list.
    """
    import ray

    from actors.data.rows import Outcome, records
    from actors.data.streaming import dataset_of
    from actors.hosted.hosted_source import HostedSource
    from actors.teachers.listwise.hosted_listwise import hosted_of
    from actors.vllm.engine_actor import through_engines, through_teachers
    from benchmarks.labelling.timed_teacher import TimedActor, TimedHostedActor
    from ranking.records import Label, PreRankedList
    from ranking.storage.folder import Folder

    ray.init(address="local", num_cpus=4, log_to_driver=False, include_dashboard=False)
    rows = [head_and_tail(row) for row in real_lists(lists + _WARM_UP_LISTS)]
    dataset = dataset_of(rows[_WARM_UP_LISTS:], PreRankedList)
    provenance = Provenance(teacher="minilm-list", fingerprint="f", engine="vllm", targets="tiers")
    settings, compute = settings_of(url), ComputeSettings()
    with tempfile.TemporaryDirectory() as folder:
        cache = Folder(folder)
        arguments: tuple[Any, ...] = (settings, compute, cache, provenance)
        if url is None:
            outcomes = through_teachers(dataset, TimedActor, (*arguments, rows[:_WARM_UP_LISTS]), compute)
        else:
            source = HostedSource("openai", hosted_of(settings), "teacher.hosted", cache)
            arguments = (*arguments, source.worker_arguments(), rows[:_WARM_UP_LISTS])
            outcomes = through_engines(dataset, TimedHostedActor, arguments, source.pool)
        labels = [
            outcome.row
            for batch in outcomes.iter_batches(batch_format="pyarrow", batch_size=None)
            for outcome in records(batch, Outcome[Label])
        ]
        start, end = json.loads(cache.read_text("times.json"))
    orders = {label.query_id: _order(label) for label in labels if label is not None}
    return {"labels_per_second": len(orders) / (end - start), "orders": orders}


def settings_of(url: str | None) -> ListwiseTeacherSettings:
    """Make teacher settings. Both sides have as many requests in flight."""
    common: dict[str, Any] = {"model": "minilm-list", "structured": False, "max_attempts": 1}
    if url is None:
        return ListwiseTeacherSettings(engine=ENGINE, **common)
    hosted: dict[str, Any] = {"url": url, "api_key_env": None, "structured": "none"}
    hosted |= {"concurrency": math.ceil(1.1 * _SEQUENCES), "tokenizer": "minilm-list", "context": 1536}
    return ListwiseTeacherSettings(backend="openai", hosted=hosted, **common)  # type: ignore[arg-type]


def _order(label: Any) -> list[str]:
    listed = [candidate for candidate in label.candidates if candidate.position]
    return [candidate.doc_id for candidate in sorted(listed, key=lambda candidate: candidate.position)]


def _in_process(url: str | None, lists: int) -> dict[str, Any]:
    """Measure a side in a separate process, which ends its Ray instance."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.labelling.hosted_speed",
        "--lists",
        str(lists),
        "--side",
        url or "vllm",
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr[-3000:])
    measured: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Run both sides in turn and print a table with the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=120, help="timed lists")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each side, in turn")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(None if options.side == "vllm" else options.side, options.lists)))
        return
    table = Table("round", "openai, labels/s", "vllm, labels/s", "ratio", "same orders", "target")
    rounds = []
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory() as folder, running_vllm(Path(folder) / "log") as url:
            hosted = _in_process(url, options.lists)
        local = _in_process(None, options.lists)
        ratio = hosted["labels_per_second"] / local["labels_per_second"]
        same = sum(hosted["orders"].get(query) == order for query, order in local["orders"].items())
        rounds.append({"openai": hosted["labels_per_second"], "vllm": local["labels_per_second"], "ratio": ratio})
        rates = (f"{rounds[-1][side]:.2f}" for side in ("openai", "vllm"))
        table.add_row(str(number), *rates, f"{ratio:.3f}", f"{same} of {options.lists}", f"at least {_TARGET}")
    if options.out:
        options.out.write_text(json.dumps(rounds, indent=2))
    Console().print(table)


if __name__ == "__main__":
    main()
