"""Pairs a second in training: ours beside sentence-transformers' CrossEncoderTrainer, two workers, and ZeRO stages.

    python -m benchmarks.training_speed [--lists 96] [--candidates 20] [--max-length 128] [--out FILE.json]

Same base, RankNet, lists, lengths, fp32, learning rate and clipping on all sides; one worker has all
cores. Each side runs in processes of its own; its clock starts after two steps. Peak memory is of the training processes.
The other trainer needs packages that are not among this project's: .venv/bin/uv pip install datasets accelerate
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
from benchmarks.labelling.lists import real_lists
from ranking.labels.targets import tiers_from_order
from ranking.model_paths import model_path
from ranking.records import Answer, Label, Provenance, Usage, content
from ranking.storage.folder import Folder
from students.settings import RraBertSettings, TrainingSettings

LISTS_PER_STEP = 8
LEARNING_RATE = 5e-5
_WARM = 2
_PROVENANCE = Provenance(teacher="made", fingerprint="made", engine="none", targets="tiers")


class TimedBoard(TrainingBoard):
    """A board that notes when each step was told."""

    def add(self, line: dict[str, float]) -> None:
        super().add({**line, "at": time.time()})


class PeakMemory:
    """The most memory that processes of a name had together while this ran, in MiB."""

    def __init__(self, name: str) -> None:
        self.name, self.mib, self._ended = name, 0.0, threading.Event()

    def __enter__(self) -> PeakMemory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            held = 0.0
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                if self.name in " ".join(process.info["cmdline"] or []) and process.info["memory_info"]:
                    held += process.info["memory_info"].rss / 2**20
            self.mib = max(self.mib, held)


def made_labels(lists: int, candidates: int) -> list[Label]:
    """Labels over real texts, in the first stage's order."""
    labels = []
    for row in real_lists(lists):
        picked = row.as_tuples()[:candidates]
        ordered = tiers_from_order(picked, [candidate.doc_id for candidate, _, _ in picked])
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


def ours(given: argparse.Namespace) -> dict[str, float]:
    """Our training worker through Ray Train and DeepSpeed. given: workers, zero_stage."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from actors.training.worker import train_worker

    labels = made_labels(given.lists, given.candidates)
    student = RraBertSettings(base="minilm", max_length=given.max_length)
    training = TrainingSettings(
        workers=given.workers,
        zero_stage=given.zero_stage,
        precision="fp32",
        epochs=1,
        queries_per_step=LISTS_PER_STEP,
        learning_rate=LEARNING_RATE,
        validation_fraction=0,
    )
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    board = ray.remote(TimedBoard).options(num_cpus=0).remote()
    with tempfile.TemporaryDirectory() as place, PeakMemory("TrainWorker") as peak:
        folder = Folder(place)
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
            scaling_config=ScalingConfig(num_workers=given.workers, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="run",
                storage_path=place,
                worker_runtime_env={"env_vars": {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}},
            ),
        ).fit()
    steps = [line for line in ray.get(board.since.remote(0)) if "loss" in line]
    return _rate([line["at"] for line in steps], [line["pairs"] for line in steps], peak.mib)


def theirs(given: argparse.Namespace) -> dict[str, float]:
    """sentence-transformers' trainer over the same lists, all pairs of a step at once, as it does by default for lists."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )
    from transformers import TrainerCallback

    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.time())

    labels = made_labels(given.lists, given.candidates)
    model = CrossEncoder(model_path("minilm"), num_labels=1, max_length=given.max_length, device="cpu")
    rows = {
        "query": [label.query for label in labels],
        "documents": [[content(c.title, c.text) for c in label.candidates] for label in labels],
        "labels": [[c.target for c in label.candidates] for label in labels],
    }
    with tempfile.TemporaryDirectory() as place, PeakMemory("--side theirs") as peak:
        arguments = CrossEncoderTrainingArguments(
            output_dir=place,
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
        loss = losses.RankNetLoss(model, mini_batch_size=given.mini_batch)
        trainer = CrossEncoderTrainer(
            model=model, args=arguments, train_dataset=Dataset.from_dict(rows), loss=loss, callbacks=[Clock()]
        )
        trainer.train()
    return _rate(times, [LISTS_PER_STEP * given.candidates] * len(times), peak.mib)


def _rate(times: list[float], pairs: list[float], mib: float) -> dict[str, float]:
    seconds = times[-1] - times[_WARM - 1]
    return {"pairs_per_second": sum(pairs[_WARM:]) / seconds, "steps": len(times), "peak_mib": mib}


SIDES = {"ours": ours, "theirs": theirs}


def _apart(side: str, given: argparse.Namespace, **more: int) -> dict[str, Any]:
    """Run a side in a process of its own."""
    options = {"lists": given.lists, "candidates": given.candidates, "max-length": given.max_length, **more}
    command = [
        sys.executable,
        "-m",
        "benchmarks.training_speed",
        "--side",
        side,
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    command = [part for part in command if part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side} {more}: {found}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=96)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--out", type=Path)
    for hidden, kind in (("side", str), ("workers", int), ("zero-stage", int), ("mini-batch", int)):
        parser.add_argument(f"--{hidden}", type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(SIDES[given.side](given)), file=sys.__stdout__)
        return
    sides = {
        "ours, one worker, ZeRO 0": _apart("ours", given, **{"workers": 1, "zero-stage": 0}),
        "sentence-transformers, its default": _apart("theirs", given, **{"mini-batch": 0}),
        "sentence-transformers, 16 pairs at once": _apart("theirs", given, **{"mini-batch": 16}),
        "ours, two workers, ZeRO 0": _apart("ours", given, **{"workers": 2, "zero-stage": 0}),
        "ours, two workers, ZeRO 2": _apart("ours", given, **{"workers": 2, "zero-stage": 2}),
        "ours, two workers, ZeRO 3": _apart("ours", given, **{"workers": 2, "zero-stage": 3}),
    }
    first = next(iter(sides.values()))
    best = max(found["pairs_per_second"] for name, found in sides.items() if name.startswith("sentence"))
    if given.out:
        given.out.write_text(json.dumps({"settings": vars(given) | {"out": str(given.out)}, "sides": sides}, indent=2))
    table = Table("side", "pairs/s", "of ours, one worker", "peak memory, MiB")
    for name, found in sides.items():
        share = found["pairs_per_second"] / first["pairs_per_second"]
        table.add_row(name, f"{found['pairs_per_second']:.1f}", f"{share:.2f}", f"{found['peak_mib']:,.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"ours, one worker / the better of sentence-transformers': {first['pairs_per_second'] / best:.2f} (wanted: at least 1.5)"
    )


if __name__ == "__main__":
    main()
