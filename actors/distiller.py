"""The training worker: one student distilled with DeepSpeed, run by Ray Train on every worker.

Every worker holds the student and trains on its share of the lists; ZeRO divides optimizer states and
gradients between them.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.train import Checkpoint
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoTokenizer

from ranking.encoders import model_path
from ranking.labelling.confidence import trust
from ranking.records import Label, content
from ranking.storage import Folder
from students import export, rra_bert
from students.batches import ListBatch, list_batch
from students.losses import LOSSES
from students.precision import dtype_of
from students.scoring import forward_pairs
from students.settings import RraBertSettings, TrainingSettings

STATE = "state.json"
_PROBES = 64


class TrainingProgress:
    """Ray actor: where the training workers are, for the driver to ask."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.first_epoch = 0

    def begin(self, epoch: int) -> None:
        """Note where training begins: 0, or how many epochs the checkpoint has that it goes on from."""
        self.first_epoch = epoch

    def began(self) -> int:
        return self.first_epoch

    def add(self, step: dict[str, float]) -> None:
        self.steps.append(step)

    def since(self, count: int) -> list[dict[str, float]]:
        """The steps after the first `count`."""
        return self.steps[count:]


def train_worker(config: dict[str, Any]) -> None:
    """Train on one worker, and at the end export the student from the first.

    config: student, training (settings as dicts), steps_per_epoch, targets (Provenance.targets), board
    (TrainingProgress), model (folder to export to), probes (pairs for the parity check).
    """
    student = RraBertSettings.model_validate(config["student"])
    training = TrainingSettings.model_validate(config["training"])
    context = ray.train.get_context()
    workers = context.get_world_size()
    torch.manual_seed(training.seed)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model_path(student.base))
    model = rra_bert.build(student, model_path(student.base))
    if training.freeze_embeddings:
        rra_bert.freeze_embeddings(model)
    total = config["steps_per_epoch"] * training.epochs
    engine = _engine(model, training, total)
    first_epoch = _resume(engine)
    loss_of = LOSSES[config["targets"]]
    scale = training.score_scale if config["targets"] == "scores" else 1.0
    lists_per_worker = max(1, training.lists_per_step // workers)
    device = ray.train.torch.get_device()
    engine.train()
    if context.get_world_rank() == 0:
        ray.get(config["board"].begin.remote(first_epoch))
    for epoch in range(first_epoch, training.epochs):
        scores_sum, scores_count = 0.0, 0
        batches = _batches(lists_per_worker, training, epoch, context.get_world_rank())
        for step in range(config["steps_per_epoch"]):
            began = time.monotonic()
            batch = next(batches)
            flat = forward_pairs(engine, tokenizer, batch.pairs, student.max_length)
            mask, targets = batch.mask.to(device), batch.targets.to(device) * scale
            loss = loss_of(batch.spread(flat), targets, mask, batch.weights.to(device))
            engine.backward(loss)
            engine.step()
            scores_sum, scores_count = scores_sum + float(flat.detach().sum()), scores_count + len(batch.pairs)
            if context.get_world_rank() == 0:
                done = epoch * config["steps_per_epoch"] + step + 1
                seconds = time.monotonic() - began
                config["board"].add.remote(
                    {"step": done, "loss": float(loss.detach()), "pairs": len(batch.pairs) * workers, "seconds": seconds}
                )
        _report(engine, epoch, scores_sum, scores_count)
    torch.distributed.barrier()  # every worker's part of the checkpoint is on storage from here on
    if context.get_world_rank() == 0:
        _export(student, config["model"], config["probes"])


def _export(student: RraBertSettings, target: Folder, probes: list[tuple[str, str]]) -> None:
    """Turn the last checkpoint into the student's model folder: whole float32 weights, reloaded and compared.

    Raises students.export.ParityError where the reloaded model scores differently.
    """
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    checkpoint = ray.train.get_checkpoint()
    assert checkpoint is not None
    with checkpoint.as_directory() as place, tempfile.TemporaryDirectory() as local:
        state = json.loads((Path(place) / STATE).read_text(encoding="utf-8"))
        model = rra_bert.build(student, model_path(student.base))
        model.load_state_dict(get_fp32_state_dict_from_zero_checkpoint(place))
        export.centre(model, state["mean_score"])
        tokenizer = AutoTokenizer.from_pretrained(model_path(student.base))
        export.save(model, tokenizer, student, Path(local) / "model", probes)
        target.delete()
        Folder(Path(local) / "model").copy_to(target)


def probes_of(labels: list[Label]) -> list[tuple[str, str]]:
    """Take some pairs of the labels for the parity check."""
    pairs = [(label.query, content(c.title, c.text)) for label in labels for c in label.candidates]
    return pairs[:: max(1, len(pairs) // _PROBES)][:_PROBES]


def _engine(model: torch.nn.Module, training: TrainingSettings, total_steps: int) -> Any:
    import deepspeed  # not at the top: the driver imports this module too, and DeepSpeed prints as it looks for devices

    if ray.train.torch.get_device().type == "cpu":
        deepspeed.ops.__compatible_ops__ = {}  # else it compiles, for a minute, an op that only inference calls
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=training.learning_rate, weight_decay=training.weight_decay
    )
    warmup = max(1, round(total_steps * training.warmup))

    def rate(step: int) -> float:
        return min((step + 1) / warmup, max(0.0, (total_steps - step) / max(1, total_steps - warmup)))

    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.clip,
        "zero_optimization": {"stage": training.zero_stage},
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": dtype_of(training.precision, ray.train.torch.get_device().type) == torch.bfloat16},
        "steps_per_print": 2**31,
    }
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config, lr_scheduler=lambda held: LambdaLR(held, rate))
    return engine


def _batches(lists: int, training: TrainingSettings, epoch: int, rank: int) -> Iterator[ListBatch]:
    """Yield this worker's batches of an epoch; the same for the same seed."""
    shard = ray.train.get_dataset_shard("labels")
    dice = random.Random(f"{training.seed} {epoch} {rank}")
    rows = shard.iter_batches(
        batch_size=lists, batch_format="pyarrow", local_shuffle_buffer_size=100 * lists, local_shuffle_seed=training.seed + epoch
    )
    for table in rows:
        labels = table.to_pylist()
        weights = [trust(label["confidence"]) for label in labels] if training.confidence.weight else None
        yield list_batch([_list(label, training.candidates_per_list, dice) for label in labels], weights)


def _list(row: dict[str, Any], sample: int | None, dice: random.Random) -> tuple[str, list[tuple[str, float]]]:
    candidates = row["candidates"]
    if sample is not None and sample < len(candidates):
        candidates = dice.sample(candidates, sample)
    return row["query"], [(content(c["title"], c["text"]), c["target"]) for c in candidates]


def _report(engine: Any, epoch: int, scores_sum: float, scores_count: int) -> None:
    """Save a checkpoint: every worker its part, the first one also the state."""
    with tempfile.TemporaryDirectory() as local:
        engine.save_checkpoint(local, tag="student")
        if ray.train.get_context().get_world_rank() == 0:
            state = {"epochs": epoch + 1, "mean_score": scores_sum / max(1, scores_count)}
            (Path(local) / STATE).write_text(json.dumps(state), encoding="utf-8")
        ray.train.report({"epoch": epoch + 1}, checkpoint=Checkpoint.from_directory(local))


def _resume(engine: Any) -> int:
    """Load the last checkpoint where there is one; returns the first epoch to train."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as local:
        engine.load_checkpoint(local, tag="student")
        return int(json.loads((Path(local) / STATE).read_text(encoding="utf-8"))["epochs"])
