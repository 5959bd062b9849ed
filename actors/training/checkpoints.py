"""Write checkpoints from all workers, resume from them, and export the best one as the student's folder."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import pickle
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

from actors.compat import deepspeed_universal_checkpoint
from actors.compat.deepspeed_weights_only import weights_only
from actors.training import checkpoint_checksums
from actors.training.assignment import Assignment, TrainingProgress
from ranking.errors import InputError, first_line
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students import export, kinds, model_card, onnx_file

MEASURE = "ndcg"
"""Key of the metric by which Ray Train chooses the best checkpoint."""

STATE = "state.json"
"""File with the `TrainingProgress` of a checkpoint."""

WORKERS = "workers.json"
"""File with the number of workers that wrote a checkpoint."""

TAG = "student"
"""DeepSpeed's tag: name of the subfolder of a checkpoint that contains the workers' files."""

_DISK_FULL_MESSAGES = ("No space left", "Disk quota exceeded", "inline_container.cc")
"""Substrings of error messages that mean a full disk. torch's message only names its source file."""


_RUN_AGAIN = "run the job again, it continues from the previous checkpoint if there is one"


class CheckpointWriteError(RuntimeError):
    """The disk is full, so a checkpoint or a model cannot be written."""


def save(engine: Any, progress: TrainingProgress) -> None:
    """Write a checkpoint and report it to Ray Train. Call it on every worker; worker 0 also writes the progress.

    Raises:
        CheckpointWriteError: If the disk is full. The previous checkpoint stays complete.
    """
    context = ray.train.get_context()
    name, storage = f"the checkpoint of step {progress.step}", context.get_storage().experiment_fs_path
    with tempfile.TemporaryDirectory() as local:
        with _disk_full_errors(f"{name} to {local}"):
            engine.save_checkpoint(local, tag=TAG)
            if context.get_world_rank() == 0:
                (Path(local) / STATE).write_text(json.dumps(asdict(progress)), encoding="utf-8")
                (Path(local) / WORKERS).write_text(json.dumps(context.get_world_size()), encoding="utf-8")
            checkpoint_checksums.write(Path(local), context.get_world_rank(), context.get_world_size())
        with _disk_full_errors(f"{name} to {storage}"):
            ray.train.report(metrics_of(progress), checkpoint=Checkpoint.from_directory(local))


def metrics_of(progress: TrainingProgress) -> dict[str, Any]:
    """Return the metrics from which Ray Train chooses the best checkpoint.

    The nDCG is -1 unless this step has the highest value so far.
    """
    return {"step": progress.step, MEASURE: progress.best if progress.best_step == progress.step else -1.0}


def resume(engine: Any) -> TrainingProgress:
    """Load the latest checkpoint into the engine. Any number of workers can have written it.

    Returns:
        The progress of the checkpoint; progress at step 0 if there is no checkpoint.

    Raises:
        InputError: If the checkpoint is damaged or contains objects that no checkpoint has.
    """
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return TrainingProgress()
    with checkpoint.as_directory() as local:
        _check_on_each_node(Path(local), checkpoint.path)
        progress = TrainingProgress.read((Path(local) / STATE).read_text(encoding="utf-8"))
        if progress.step == 0:  # The weights are still the base's, and there is no optimizer state.
            return progress
        workers = json.loads((Path(local) / WORKERS).read_text(encoding="utf-8"))
        sharded = any((Path(local) / TAG).glob("*_optim_states.pt"))
        with _safe_loading(checkpoint.path):
            if sharded and workers != ray.train.get_context().get_world_size():
                _load_resharded(engine, Path(local), checkpoint.path)
            else:
                engine.load_checkpoint(local, tag=TAG)
    return progress


def _check_on_each_node(checkpoint: Path, name: str) -> None:
    """Check that a checkpoint is whole. The first worker on each node reads its files, the others wait for it.

    Args:
        checkpoint: Local folder of the checkpoint.
        name: Storage path of the checkpoint, for the error message.

    Raises:
        CorruptFileError: If a file is missing or changed.
    """
    if ray.train.get_context().get_local_rank() == 0:
        checkpoint_checksums.check(Folder(checkpoint), _RUN_AGAIN, name)
    torch.distributed.barrier()


def _load_resharded(engine: Any, checkpoint: Path, name: str) -> None:
    """Load a checkpoint whose ZeRO shards were written by a different number of workers.

    The first worker on each node converts the shards to DeepSpeed's universal checkpoint format.
    Every worker then loads its own shard from it.

    Args:
        engine: The DeepSpeed engine.
        checkpoint: Local folder of the checkpoint.
        name: Storage path of the checkpoint, which is the same for all workers.
    """
    context = ray.train.get_context()
    universal = Path(tempfile.gettempdir()) / f"rradistill-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    if context.get_local_rank() == 0:
        shutil.rmtree(universal, ignore_errors=True)
        deepspeed_universal_checkpoint.convert(checkpoint / TAG, universal / TAG)
    torch.distributed.barrier()
    deepspeed_universal_checkpoint.load(engine, universal, TAG)
    torch.distributed.barrier()
    if context.get_local_rank() == 0:
        shutil.rmtree(universal, ignore_errors=True)


@contextlib.contextmanager
def _safe_loading(checkpoint: str) -> Iterator[None]:
    """Load a checkpoint in the `with` block without running code that it may contain.

    Args:
        checkpoint: Storage path of the checkpoint, for the error message.

    Raises:
        InputError: If the checkpoint is damaged or contains objects that no checkpoint has.
    """
    try:
        with weights_only():
            yield
    except pickle.UnpicklingError:
        raise InputError(
            f"{checkpoint}: this checkpoint is damaged or contains objects that no checkpoint has; delete this folder "
            "to continue from the previous checkpoint"
        ) from None


@contextlib.contextmanager
def _disk_full_errors(target: str) -> Iterator[None]:
    """Turn an error caused by a full disk within the `with` block into a one-line CheckpointWriteError.

    Other errors pass through, because Ray Train can retry after a lost worker or a network error.

    Args:
        target: What is written, for the error message.
    """
    try:
        yield
    except Exception as error:
        if not any(message in str(error) for message in _DISK_FULL_MESSAGES):
            raise
        raise CheckpointWriteError(
            f"cannot write {target} ({first_line(error)}); free disk space and run the job again, "
            "it resumes from the previous checkpoint"
        ) from error


def write_student(work: Assignment, probes: list[tuple[str, str]]) -> int:
    """Export the best checkpoint as a model folder with full float32 weights.

    Without validation the latest checkpoint is exported. The folder is loaded again and must give the same scores.

    Args:
        work: Assignment of the training run.
        probes: (query, document) pairs whose scores are compared.

    Returns:
        The step of the exported checkpoint.

    Raises:
        students.export.ParityError: If the loaded model scores differently. No folder is written.
        CheckpointWriteError: If the disk is full. No folder is left behind.
    """
    reported = ray.train.get_all_reported_checkpoints()
    best = max(reported, key=lambda one: (one.metrics[MEASURE], one.metrics["step"]))
    with best.checkpoint.as_directory() as checkpoint, tempfile.TemporaryDirectory() as local:
        checkpoint_checksums.check(Folder(checkpoint), _RUN_AGAIN, best.checkpoint.path)
        progress = TrainingProgress.read((Path(checkpoint) / STATE).read_text(encoding="utf-8"))
        path = model_path(work.student.base)
        model = kinds.build(work.student, path)
        if work.training.freeze_embeddings:
            model.freeze_embeddings()
        trained = kinds.wrap_for_training(model, work.student, path)
        frozen = {name: value for name, value in trained.state_dict(keep_vars=True).items() if _is_frozen(value)}
        names_by_weight: dict[int, list[str]] = defaultdict(list)
        for name, value in trained.named_parameters(remove_duplicate=False):
            if value.requires_grad:
                names_by_weight[id(value)].append(name)
        trainable = list(names_by_weight.values())
        with _safe_loading(best.checkpoint.path):
            weights = _full_weights(Path(checkpoint), work.training.zero_stage, trainable)
        trained.load_state_dict(weights | frozen)
        model = kinds.unwrap(trained)
        folder = Path(local) / "model"
        with _disk_full_errors(f"the model to {folder}"):
            tokenizer = kinds.tokenizer_of(work.student, path)
            export.save(model, tokenizer, work.student, folder, probes, work.language)
            onnx = (folder / onnx_file.NAME).is_file()
            (folder / model_card.NAME).write_text(_model_card(work, progress, onnx), encoding="utf-8")
        work.model.delete()
        try:
            with _disk_full_errors(f"the model to {work.model.uri}"):
                Folder(folder).copy_to(work.model)
        except CheckpointWriteError:
            work.model.delete()
            raise
    return progress.step


def _is_frozen(value: torch.Tensor) -> bool:
    """Return whether a weight is frozen. It then equals the weight of the base, and ZeRO stage 1 does not save it."""
    return isinstance(value, torch.nn.Parameter) and not value.requires_grad


def _full_weights(checkpoint: Path, zero_stage: int, trainable: list[list[str]]) -> dict[str, Any]:
    """Read a checkpoint's weights in float32 and merge the shards of all workers. Frozen weights can be missing.

    Args:
        checkpoint: Local folder of the checkpoint.
        zero_stage: DeepSpeed ZeRO stage that the checkpoint was written with.
        trainable: For each trainable weight, in the optimizer's order, its names. A tied weight has several.

    Returns:
        {name: weight}.
    """
    if zero_stage == 0:
        (path,) = (checkpoint / TAG).glob("*_model_states.pt")
        states = torch.load(path, map_location="cpu", weights_only=True)
        module = {
            name: value.float() if value.is_floating_point() else value for name, value in states["module"].items()
        }
        if "fp32_groups" in states["optimizer"]:  # bf16 training rounds the module's weights.
            for names, weights in zip(trainable, itertools.chain(*states["optimizer"]["fp32_groups"]), strict=True):
                module |= dict.fromkeys(names, weights.detach())
        return module
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    merged: dict[str, Any] = get_fp32_state_dict_from_zero_checkpoint(checkpoint)
    return merged


def _model_card(work: Assignment, progress: TrainingProgress, onnx: bool) -> str:
    """Return the text of the student's model card."""
    facts: dict[str, Any] = {
        "labels' fingerprint": work.fingerprint,
        "lists": len(work.train),
        "optimizer steps": progress.step,
    }
    if progress.best is not None:
        against = "the teacher" if work.grades is None else "the judgements"
        facts[f"nDCG@10 against {against} on {len(work.validation)} validation lists"] = f"{progress.best:.3f}"
    return model_card.model_card(work.student, work.training, work.provenance, facts, onnx)
