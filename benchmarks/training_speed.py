"""Compare training speed: our trainer with one or two workers and ZeRO stages, and sentence-transformers.

    python -m benchmarks.training_speed [--lists 96] [--candidates 20] [--max-length 128] [--out FILE.json]

All sides use the same base, RankNet, lists, lengths, fp32, learning rate and gradient clipping. One worker has all
cores. Each side runs in separate processes and is timed after two warm-up steps. Peak memory is that of the training
processes. The CrossEncoderTrainer of sentence-transformers needs the packages `datasets` and `accelerate`, which are
development dependencies.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from actors.training.assignment import Assignment, TrainingBoard
from benchmarks.labelling.pydoc_lists import real_lists
from ranking.labels.targets import tiers_from_order
from ranking.model_paths import model_path
from ranking.records import Answer, Label, Provenance, Usage, content
from ranking.storage.folder import Folder
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings

LISTS_PER_STEP = 8
LEARNING_RATE = 5e-5
_WARM_UP_STEPS = 2
_PROVENANCE = Provenance(teacher="made", fingerprint="made", engine="none", targets="tiers")


class TimedBoard(TrainingBoard):
    """A training board that records the time of each report."""

    def add(self, line: dict[str, float]) -> None:
        """Add a report with the current time, in seconds since the epoch."""
        super().add({**line, "at": time.time()})


class PeakMemory:
    """Context manager that measures the peak memory of all processes with a text in their command line.

    Args:
        name: Text in the command line.

    Attributes:
        mib: Peak of the total resident memory, in MiB.
    """

    def __init__(self, name: str) -> None:
        self.name, self.mib, self._stop = name, 0.0, threading.Event()

    def __enter__(self) -> PeakMemory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            total = 0.0
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                if self.name in " ".join(process.info["cmdline"] or []) and process.info["memory_info"]:
                    total += process.info["memory_info"].rss / 2**20
            self.mib = max(self.mib, total)


def synthetic_labels(lists: int, candidates: int) -> list[Label]:
    """Label real lists in the order of the first stage."""
    labels = []
    for row in real_lists(lists):
        shown = row.as_tuples()[:candidates]
        ordered = tiers_from_order(shown, [candidate.doc_id for candidate, _, _ in shown])
        labels.append(
            Label(
                query_id=row.query_id,
                query=row.text,
                candidates=ordered,
                answer=Answer(),
                provenance=_PROVENANCE,
                usage=Usage(),
            )
        )
    return labels


def ours(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure our training worker in Ray Train with DeepSpeed.

    Args:
        arguments: Command-line arguments, with `workers` and `zero_stage`.
    """
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from actors.training.worker import train_worker

    labels = synthetic_labels(arguments.lists, arguments.candidates)
    student = RraBertSettings(base="minilm", max_length=arguments.max_length)
    training = TrainingSettings(
        workers=arguments.workers,
        zero_stage=arguments.zero_stage,
        precision="fp32",
        epochs=1,
        queries_per_step=LISTS_PER_STEP,
        learning_rate=LEARNING_RATE,
        validation_fraction=0,
    )
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    board = ray.remote(TimedBoard).options(num_cpus=0).remote()
    with tempfile.TemporaryDirectory() as local, PeakMemory("TrainWorker") as peak:
        folder = Folder(local)
        (folder / "labels").write_rows("part-1.parquet", labels)
        ids = [label.query_id for label in labels]
        work = Assignment(
            student,
            training,
            folder / "labels",
            None,
            ids,
            [],
            _PROVENANCE,
            "made",
            folder / "model",
            folder / "events",
            board,
        )
        TorchTrainer(
            train_worker,
            train_loop_config={"work": work},
            scaling_config=ScalingConfig(num_workers=arguments.workers, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="run",
                storage_path=local,
                worker_runtime_env={"env_vars": {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}},
            ),
        ).fit()
    steps = [line for line in ray.get(board.since.remote(0)) if "loss" in line]
    return _rate([line["at"] for line in steps], [line["pairs"] for line in steps], peak.mib)


def theirs(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure CrossEncoderTrainer of sentence-transformers over the same lists.

    Args:
        arguments: Command-line arguments, with `mini_batch`: pairs per forward pass. 0 selects the default of
            RankNetLoss, as many pairs as a step has lists.
    """
    from datasets import Dataset
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )
    from transformers import TrainerCallback

    times: list[float] = []

    class StepTimer(TrainerCallback):  # type: ignore[misc]
        """Records the time of each step."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Record the current time."""
            times.append(time.time())

    labels = synthetic_labels(arguments.lists, arguments.candidates)
    model = CrossEncoder(
        model_path("minilm"), num_labels=1, max_length=arguments.max_length, device="cpu", trust_remote_code=False
    )
    rows = {
        "query": [label.query for label in labels],
        "documents": [[content(c.title, c.text) for c in label.candidates] for label in labels],
        "labels": [[c.target for c in label.candidates] for label in labels],
    }
    with tempfile.TemporaryDirectory() as local, PeakMemory("--side theirs") as peak:
        training_arguments = CrossEncoderTrainingArguments(
            output_dir=local,
            num_train_epochs=1,
            per_device_train_batch_size=LISTS_PER_STEP,
            learning_rate=LEARNING_RATE,
            max_grad_norm=1.0,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        loss = losses.RankNetLoss(model, mini_batch_size=arguments.mini_batch)
        trainer = CrossEncoderTrainer(
            model=model,
            args=training_arguments,
            train_dataset=Dataset.from_dict(rows),
            loss=loss,
            callbacks=[StepTimer()],
        )
        trainer.train()
    return _rate(times, [LISTS_PER_STEP * arguments.candidates] * len(times), peak.mib)


def _rate(times: list[float], pairs: list[float], mib: float) -> dict[str, float]:
    seconds = times[-1] - times[_WARM_UP_STEPS - 1]
    return {"pairs_per_second": sum(pairs[_WARM_UP_STEPS:]) / seconds, "steps": len(times), "peak_mib": mib}


SIDES = {"ours": ours, "theirs": theirs}


def _in_process(side: str, arguments: argparse.Namespace, **options: int) -> dict[str, Any]:
    """Run a side in a separate process."""
    all_options = {
        "lists": arguments.lists,
        "candidates": arguments.candidates,
        "max-length": arguments.max_length,
        **options,
    }
    command = [
        sys.executable,
        "-m",
        "benchmarks.training_speed",
        "--side",
        side,
        *(f"--{name}={value}" for name, value in all_options.items()),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stderr[-3000:])
    measured: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    print(f"{side} {options}: {measured}", file=sys.stderr, flush=True)
    return measured


def main() -> None:
    """Run all sides, each in a separate process, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=96, help="number of lists")
    parser.add_argument("--candidates", type=int, default=20, help="candidates per list")
    parser.add_argument("--max-length", type=int, default=128, help="maximum tokens per pair")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    for hidden, kind in (("side", str), ("workers", int), ("zero-stage", int), ("mini-batch", int)):
        parser.add_argument(f"--{hidden}", type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(SIDES[arguments.side](arguments)), file=sys.__stdout__)
        return
    sides = {
        "ours, one worker, ZeRO 0": _in_process("ours", arguments, **{"workers": 1, "zero-stage": 0}),
        "sentence-transformers, its default": _in_process("theirs", arguments, **{"mini-batch": 0}),
        "sentence-transformers, 16 pairs at once": _in_process("theirs", arguments, **{"mini-batch": 16}),
        "ours, two workers, ZeRO 0": _in_process("ours", arguments, **{"workers": 2, "zero-stage": 0}),
        "ours, two workers, ZeRO 2": _in_process("ours", arguments, **{"workers": 2, "zero-stage": 2}),
        "ours, two workers, ZeRO 3": _in_process("ours", arguments, **{"workers": 2, "zero-stage": 3}),
    }
    first = next(iter(sides.values()))
    best = max(side["pairs_per_second"] for name, side in sides.items() if name.startswith("sentence"))
    if arguments.out:
        settings = vars(arguments) | {"out": str(arguments.out)}
        arguments.out.write_text(json.dumps({"settings": settings, "sides": sides}, indent=2))
    table = Table("side", "pairs/s", "relative to ours, one worker", "peak memory, MiB")
    for name, side in sides.items():
        share = side["pairs_per_second"] / first["pairs_per_second"]
        table.add_row(name, f"{side['pairs_per_second']:.1f}", f"{share:.2f}", f"{side['peak_mib']:,.0f}")
    console = Console()
    console.print(table)
    console.print(
        "ours with one worker / best of sentence-transformers: "
        f"{first['pairs_per_second'] / best:.2f} (target: at least 1.5)"
    )


if __name__ == "__main__":
    main()
