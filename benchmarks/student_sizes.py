"""Train students of several sizes on the recorded rankings of pydoc, and compare quality and speed.

    python -m benchmarks.student_sizes FOLDER [--layers 6,4,3,2] [--losses labels,margin_mse,listwise_kl]
        [--queries N] [--candidates 12] [--epochs 1] [--depth 50]

All students start from minilm-cross, whose seven layers are the large student. The smaller ones keep some of its layers
and are trained like it on the labels alone (`labels`), or also on its scores with a loss between scores. Batches,
losses, export and scoring are the product's; one process trains with torch instead of DeepSpeed, and exports the last
step. The test lists are BM25's. FOLDER keeps the finished students, so a run with more layers or losses only trains the
new ones.
Speed is measured last, in rounds over all students, with the engine that serves them and one thread. Other work on the
machine does not count, because seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from actors.training.deepspeed_engine import learning_rate_schedule
from actors.training.label_batches import LabelBatches, LabelReader, shares
from benchmarks.recorded_material import PROVENANCE, SEED, Material
from ranking.evaluation import measures
from ranking.evaluation.significance import compare
from ranking.model_paths import model_path
from ranking.records import ScoredList, content
from ranking.storage.folder import Folder
from students import export, kinds
from students.batches import list_batch
from students.forward_passes import forward_rows
from students.objective import Objective, ndcg
from students.precision import dtype_of
from students.scoring import Scorer
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings

MEASURE = "nDCG@10"
MAX_LENGTH = 128
TIMED_PAIRS, ROUNDS = 100, 5
LABELS = "labels"
LARGE, BASE, FIRST_STAGE = "all layers", "all layers, untrained", "BM25, the lists' order"


@dataclass(frozen=True)
class Arm:
    """A student to train: its number of layers (None: all), and the loss on the large student's scores or `labels`."""

    layers: int | None
    loss: str
    training: TrainingSettings
    weight: float

    @property
    def name(self) -> str:
        """Name in the table and of the folder."""
        return LARGE if self.layers is None else f"{self.layers} layers, {self.loss}"

    @cached_property
    def settings(self) -> RraBertSettings:
        """Settings of the student."""
        distillation = None
        if self.loss != LABELS:
            distillation = {"student": "large", "loss": self.loss, "weight": self.weight}
        return RraBertSettings.model_validate(
            {"name": "student", "layers": self.layers, "distillation": distillation, "max_length": MAX_LENGTH}
        )

    def train(self, material: Material, scores: Folder | None, folder: Path) -> float:
        """Train and export the student. Returns the CPU seconds of training."""
        settings, training, path = self.settings, self.training, model_path(self.settings.base)
        torch.manual_seed(training.seed)
        tokenizer, student = kinds.tokenizer_of(settings, path), kinds.build(settings, path)
        student.freeze_embeddings()
        student.set_dropout(0.0)
        model = kinds.wrap_for_training(student, settings, path).train()
        rows = kinds.TrainingReader(settings, tokenizer)
        batches = LabelBatches(LabelReader(material.labels), training, rows, source_scores=scores)
        steps = training.optimizer_steps(len(material.train))
        weights = [one for one in model.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=training.learning_rate, weight_decay=training.weight_decay)
        schedule = LambdaLR(optimizer, learning_rate_schedule(training, steps))
        objective, start = Objective(settings, training, PROVENANCE.targets), time.process_time()
        for _, batch in batches.iterate(shares(material.train, training, 0, 0, 1)):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype_of("auto", "cpu") == torch.bfloat16):
                output = forward_rows(model, tokenizer, batch.rows)
            torch.autograd.backward(objective(output, batch))
            torch.nn.utils.clip_grad_norm_(weights, training.max_grad_norm)
            optimizer.step()
            schedule.step()
        seconds = time.process_time() - start
        save(model, tokenizer, settings, folder, material)
        return seconds


def save(model: nn.Module, tokenizer: Any, settings: RraBertSettings, folder: Path, material: Material) -> None:
    """Export a student as the product does, with its parity checks."""
    query, documents = next(iter(material.tested.values()))
    export.save(kinds.unwrap(model), tokenizer, settings, folder, [(query, text) for _, text in documents[:16]])


def write_scores(scorer: Scorer, material: Material, folder: Folder) -> None:
    """Write the large student's scores of all training lists."""
    folder.delete()
    rows = []
    for label in LabelReader(material.labels).read(material.train):
        scores = scorer.score([(label.query, content(c.title, c.text)) for c in label.candidates])
        rows.append(ScoredList(query_id=label.query_id, doc_ids=[c.doc_id for c in label.candidates], scores=scores))
    folder.write_rows("part-0.parquet", rows)


def quality(scorer: Scorer, material: Material) -> dict[str, dict[str, float]]:
    """Return nDCG@10 by query: against judgements on the test lists, and against the teacher on validation lists."""
    run = {
        query_id: dict(zip((doc_id for doc_id, _ in documents),
                           scorer.score([(query, text) for _, text in documents]), strict=True))
        for query_id, (query, documents) in material.tested.items()
    }  # fmt: skip
    validation = {}
    for label in material.validation:
        pairs = [(content(c.title, c.text), c.target) for c in label.candidates]
        batch = list_batch([(label.query, pairs)])
        validation[label.query_id] = float(ndcg(torch.tensor([scorer.score(batch.pairs)]), batch.targets, batch.mask))
    return {"test": measures.per_query(material.qrels, run, [MEASURE])[MEASURE], "validation": validation}


def first_stage_quality(material: Material) -> dict[str, dict[str, float]]:
    """Return nDCG@10 of the test lists in BM25's order, by query."""
    run = {
        query_id: {doc_id: -float(place) for place, (doc_id, _) in enumerate(documents)}
        for query_id, (_, documents) in material.tested.items()
    }
    return {"test": measures.per_query(material.qrels, run, [MEASURE])[MEASURE]}


def speeds(folders: dict[str, Path], material: Material) -> dict[str, float]:
    """Return each student's documents per CPU second: the median over rounds, in which all take turns."""
    pairs = [(query, text) for query, documents in material.tested.values() for _, text in documents][:TIMED_PAIRS]
    scorers = {name: Scorer(folder) for name, folder in folders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in folders}
    for _ in range(ROUNDS + 1):
        for name, scorer in scorers.items():
            start = time.process_time()
            scorer.score(pairs)
            seconds[name].append(time.process_time() - start)
    return {name: len(pairs) / statistics.median(measured[1:]) for name, measured in seconds.items()}


def table_of(results: dict[str, dict[str, dict[str, float]]], per_second: dict[str, float]) -> Table:
    """Return the table: quality, paired test against the large student, and the ratio of documents per second."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("student", f"validation {MEASURE}", f"test {MEASURE}", "difference", "p", "documents/CPU s", "ratio"):
        table.add_column(title, justify="left" if title == "student" else "right")
    for name, by_part in results.items():
        means = [
            f"{statistics.mean(by_part[part].values()):.3f}" if part in by_part else ""
            for part in ("validation", "test")
        ]
        test = ["", ""]
        if name != LARGE:
            difference = compare(by_part["test"], results[LARGE]["test"], 10_000, SEED)
            test = [f"{difference.delta:+.3f}", f"{difference.p:.4f}"]
        speed = per_second.get(name)
        rate = ["", ""] if speed is None else [f"{speed:,.0f}", f"{speed / per_second[LARGE]:.2f}"]
        table.add_row(name, *means, *test, *rate)
    return table


def main() -> None:
    """Train the students that the folder does not have yet, and print the table."""
    options = _options()
    torch.set_num_threads(1)
    material = Material.prepare(Folder(options.folder / "labels"), options.queries, options.depth)
    training = TrainingSettings(workers=1, queries_per_step=8, candidates_per_list=options.candidates,
                                epochs=options.epochs, learning_rate=options.learning_rate)  # fmt: skip
    sizes = [int(size) for size in options.layers.split(",") if size]
    arms = [Arm(None, LABELS, training, options.weight)]
    arms += [Arm(size, loss, training, options.weight) for size in sizes for loss in options.losses.split(",")]
    print(f"{len(material.train)} training lists, {len(material.validation)} validation lists, "
          f"{training.optimizer_steps(len(material.train))} steps")  # fmt: skip
    results, scores = {}, Folder(options.folder / "scores")
    for arm in arms:
        folder = options.folder / arm.name.replace(", ", "-").replace(" ", "-")
        if not (folder / "quality.json").is_file():
            seconds = arm.train(material, scores if arm.loss != LABELS else None, folder)
            scorer = Scorer(folder)
            if arm.layers is None:
                write_scores(scorer, material, scores)
            (folder / "quality.json").write_text(json.dumps(quality(scorer, material)))
            print(f"{arm.name}: trained in {seconds:.0f} CPU seconds", flush=True)
        results[arm.name] = json.loads((folder / "quality.json").read_text())
    base = options.folder / "base"
    if not (base / "quality.json").is_file():
        settings, path = arms[0].settings, model_path(arms[0].settings.base)
        save(kinds.build(settings, path), kinds.tokenizer_of(settings, path), settings, base, material)
        (base / "quality.json").write_text(json.dumps(quality(Scorer(base), material)))
    results[BASE] = json.loads((base / "quality.json").read_text())
    results[FIRST_STAGE] = first_stage_quality(material)
    timed = {arm.name: options.folder / arm.name.replace(", ", "-").replace(" ", "-") for arm in arms}
    Console(width=110).print(table_of(results, speeds(timed, material)))


def _options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Folder for the trained students.")
    parser.add_argument("--layers", default="6,4,3,2", help="Numbers of layers, separated by commas.")
    parser.add_argument("--losses", default="labels,margin_mse,listwise_kl", help="`labels`, or losses on scores.")
    parser.add_argument("--weight", type=float, default=0.5, help="Weight of the loss on scores.")
    parser.add_argument("--queries", type=int, default=None, help="Maximum number of training queries.")
    parser.add_argument("--candidates", type=int, default=12, help="Documents per list and epoch.")
    parser.add_argument("--epochs", type=int, default=1, help="Passes over the training queries.")
    parser.add_argument("--learning-rate", type=float, default=3e-5, help="Peak learning rate.")
    parser.add_argument("--depth", type=int, default=50, help="Documents per test query.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
