"""Checkpoints of a training: written by all workers, taken up again, and at the end turned into the student's folder."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint

from actors.training.assignment import Assignment, TrainingProgress
from ranking.errors import first_line
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students import export, kinds, model_card, onnx_file

MEASURE = "ndcg"
"""The metric by which Ray Train keeps the best checkpoint."""

STATE = "state.json"
WORKERS = "workers.json"
TAG = "student"


_NO_ROOM = ("No space left", "Disk quota exceeded", "inline_container.cc")
"""What the systems below say of a disk that is full; torch names its own file and no reason."""


class CheckpointWriteError(RuntimeError):
    """There is no room for a checkpoint or a model."""


def save(engine: Any, progress: TrainingProgress) -> None:
    """Report a checkpoint: every worker writes its part, the first one also where training is.

    Raises CheckpointWriteError; the checkpoint before is then still whole.
    """
    context = ray.train.get_context()
    with _told(f"the checkpoint of step {progress.step}"), tempfile.TemporaryDirectory() as local:
        engine.save_checkpoint(local, tag=TAG)
        if context.get_world_rank() == 0:
            (Path(local) / STATE).write_text(json.dumps(asdict(progress)), encoding="utf-8")
            (Path(local) / WORKERS).write_text(json.dumps(context.get_world_size()), encoding="utf-8")
        ray.train.report(metrics_of(progress), checkpoint=Checkpoint.from_directory(local))


def metrics_of(progress: TrainingProgress) -> dict[str, Any]:
    """What Ray Train is told of a checkpoint, by which it keeps the best; one that is not the best so far counts as the worst."""
    return {"step": progress.step, MEASURE: progress.best if progress.best_step == progress.step else -1.0}


def resume(engine: Any) -> TrainingProgress:
    """Load the last checkpoint where there is one, of any number of workers; returns where training goes on."""
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return TrainingProgress()
    with checkpoint.as_directory() as local:
        progress = TrainingProgress.read((Path(local) / STATE).read_text(encoding="utf-8"))
        if progress.step == 0:  # the engine is as built, and DeepSpeed has no optimizer state yet
            return progress
        workers = json.loads((Path(local) / WORKERS).read_text(encoding="utf-8"))
        divided = any((Path(local) / TAG).glob("*_optim_states.pt"))
        if divided and workers != ray.train.get_context().get_world_size():
            _load_joined(engine, Path(local), checkpoint.path)
        else:
            engine.load_checkpoint(local, tag=TAG)
    return progress


def _load_joined(engine: Any, checkpoint: Path, name: str) -> None:
    """Load ZeRO's parts that another number of workers wrote: joined on each node, then divided anew.

    checkpoint: the folder here. name: the same for all workers. The form between is DeepSpeed's universal checkpoint (arXiv 2406.18820).
    """
    from deepspeed.checkpoint import ds_to_universal

    context = ray.train.get_context()
    joined = Path(tempfile.gettempdir()) / f"rradistill-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    if context.get_local_rank() == 0:
        shutil.rmtree(joined, ignore_errors=True)
        with contextlib.redirect_stdout(None):
            ds_to_universal.main(
                argparse.Namespace(
                    input_folder=str(checkpoint / TAG),
                    output_folder=str(joined / TAG),
                    num_extract_workers=1,
                    num_merge_workers=1,
                    keep_temp_folder=False,
                    strict=True,
                    inject_missing_state=True,
                )
            )
    torch.distributed.barrier()
    engine._config.load_universal_checkpoint = True  # a setting of the whole engine, for this one load
    engine.load_checkpoint(joined, tag=TAG)
    engine._config.load_universal_checkpoint = False
    torch.distributed.barrier()
    if context.get_local_rank() == 0:
        shutil.rmtree(joined, ignore_errors=True)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what a full disk raises into one line. All else stays as it is: a worker lost meanwhile, a network, may be tried again."""
    try:
        yield
    except Exception as error:
        if not any(mark in str(error) for mark in _NO_ROOM):
            raise
        raise CheckpointWriteError(
            f"{what} could not be written ({first_line(error)}); make room and call again, it goes on from the one before"
        ) from error


def write_student(work: Assignment, probes: list[tuple[str, str]]) -> int:
    """Turn the best checkpoint into the student's model folder: whole float32 weights, reloaded and compared.

    The best is the last where nothing was validated. probes: pairs for the comparison. Returns the step after which it
    was saved. Raises students.export.ParityError where the reloaded model scores differently, CheckpointWriteError where
    the folder cannot be written; there is no folder then.
    """
    reported = ray.train.get_all_reported_checkpoints()
    chosen = max(reported, key=lambda one: (one.metrics[MEASURE], one.metrics["step"]))
    with chosen.checkpoint.as_directory() as place, tempfile.TemporaryDirectory() as local:
        progress = TrainingProgress.read((Path(place) / STATE).read_text(encoding="utf-8"))
        path = model_path(work.student.base)
        model = kinds.build(work.student, path)
        if work.training.freeze_embeddings:
            model.freeze_embeddings()
        trained = kinds.in_training(model, work.student, path)
        kept = {name: value for name, value in trained.state_dict(keep_vars=True).items() if _is_frozen(value)}
        learning: dict[int, list[str]] = defaultdict(list)
        for name, value in trained.named_parameters(remove_duplicate=False):
            if value.requires_grad:
                learning[id(value)].append(name)
        trained.load_state_dict(_whole_weights(Path(place), work.training.zero_stage, list(learning.values())) | kept)
        model = kinds.settled(trained)
        export.save(model, kinds.tokenizer_of(work.student, path), work.student, Path(local) / "model", probes)
        onnx = (Path(local) / "model" / onnx_file.NAME).is_file()
        (Path(local) / "model" / model_card.NAME).write_text(_card(work, progress, onnx), encoding="utf-8")
        work.model.delete()
        try:
            with _told(f"the model in {work.model.uri}"):
                Folder(Path(local) / "model").copy_to(work.model)
        except CheckpointWriteError:
            work.model.delete()
            raise
    return progress.step


def _is_frozen(value: torch.Tensor) -> bool:
    """Whether a weight is left out of training: it is as the base has it, and ZeRO 1 does not write it down."""
    return isinstance(value, torch.nn.Parameter) and not value.requires_grad


def _whole_weights(checkpoint: Path, zero_stage: int, learning: list[list[str]]) -> dict[str, Any]:
    """The weights of a checkpoint in float32, put together from the workers' parts where ZeRO divided them; frozen ones may lack.

    learning: the names of each weight that learns, tied ones have several, in the optimizer's order.
    """
    if zero_stage == 0:
        (path,) = (checkpoint / TAG).glob("*_model_states.pt")
        states = torch.load(path, map_location="cpu", weights_only=False)
        module = {
            name: value.float() if value.is_floating_point() else value for name, value in states["module"].items()
        }
        if "fp32_groups" in states["optimizer"]:  # in bf16; the module's own are rounded then
            for names, weights in zip(learning, itertools.chain(*states["optimizer"]["fp32_groups"]), strict=True):
                module |= dict.fromkeys(names, weights.detach())
        return module
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    weights: dict[str, Any] = get_fp32_state_dict_from_zero_checkpoint(checkpoint)
    return weights


def _card(work: Assignment, progress: TrainingProgress, onnx: bool) -> str:
    facts: dict[str, Any] = {
        "labels' fingerprint": work.fingerprint,
        "lists": len(work.train),
        "optimizer steps": progress.step,
    }
    if progress.best is not None:
        against = "the teacher" if work.grades is None else "the judgements"
        facts[f"nDCG@10 against {against} on {len(work.validation)} validation lists"] = f"{progress.best:.3f}"
    return model_card.model_card(work.student, work.training, work.provenance, facts, onnx)
