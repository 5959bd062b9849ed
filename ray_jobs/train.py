"""From labels to students: distil each student with DeepSpeed on Ray Train's workers.

    python -m ray_jobs.train configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.train configs/quickstart.yaml

Writes students/<name>/checkpoints/ and students/<name>/model/, a Hugging Face folder that was reloaded and
scores as the student did. Training that was cut off goes on from its last checkpoint.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from ranking.errors import InputError
from ranking.labelling.confidence import confident
from ranking.labelling.reasons import with_reasons
from ranking.records import Label, ReasonList
from ranking.stages import Stage
from ray_jobs import plan
from ray_jobs.run import Run, job
from students.settings import RraBertSettings

MODEL = "model"
CHECKPOINTS = "checkpoints"


def main(run: Run) -> None:
    for student in run.settings.students:
        train(run, student)


def train(run: Run, student: RraBertSettings) -> None:
    """Train one student and write its model folder."""
    stage = plan.student_stage(run, student)
    if run.skipped(stage):
        return
    every = labels_for_training(run, student)
    labels = confident(every, run.settings.training.confidence.at_least)
    per_step, workers = run.settings.training.lists_per_step, run.settings.training.workers
    if per_step % workers:
        raise InputError(f"setting 'training.lists_per_step': must be a multiple of the {workers} workers, not {per_step}")
    steps = len(labels) // workers // (per_step // workers)
    if steps == 0:
        lower = "training.lists_per_step" + (" or training.confidence.at_least" if len(labels) < len(every) else "")
        raise InputError(f"{len(labels)} labels are fewer than one step of {per_step}; lower {lower}")
    _say_confidence(run, every, len(labels))
    run.start_ray()
    stage.begin()
    first_epoch = _fit(run, stage, student, labels, steps)
    manifest = stage.finish(rows_in=len(every), rows_out=len(labels), rejected=len(every) - len(labels))
    sampled = run.settings.training.candidates_per_list or max(len(label.candidates) for label in labels)
    pairs = sum(min(sampled, len(label.candidates)) for label in labels) * (run.settings.training.epochs - first_epoch)
    rate = pairs / max(manifest.seconds, 1e-9)
    resumed = f", went on after epoch {first_epoch}" if first_epoch else ""
    run.progress.stage(stage.name, f"{len(labels):,} lists, {pairs:,} pairs in {manifest.seconds:.0f} s ({rate:.0f} pairs/s){resumed}")


def labels_for_training(run: Run, student: RraBertSettings) -> list[Label]:
    """Read the labels, with their reasons where the student learns from them.

    Raises InputError where there are no labels, or where reasons are wanted and not all written.
    """
    labels = list((run.folder / "labels").read_rows(Label))
    if not labels:
        raise InputError(f"{run.folder.uri}/labels: there are no labels to learn from; run ray_jobs.label first")
    if not plan.reads_reasons(run, student):
        return labels
    stage = plan.reasons_stage(run)
    if stage.restore() is None:
        raise InputError(f"{stage.folder.uri}: the reasons of these settings are not written, or not all; run ray_jobs.reason first")
    reasons = {row.query_id: row.reasons for row in stage.folder.read_rows(ReasonList)}
    return [with_reasons(label, reasons[label.query_id]) for label in labels]


def _say_confidence(run: Run, labels: list[Label], kept: int) -> None:
    """Say how many labels are left out for their confidence, and where none has one to go by."""
    confidence = run.settings.training.confidence
    if kept < len(labels):
        text = f"{len(labels) - kept:,} of {len(labels):,} labels left out, of a confidence below {confidence.at_least:g}"
        run.progress.stage("confidence", text)
    elif (confidence.weight or confidence.at_least) and all(label.confidence is None for label in labels):
        run.progress.stage("confidence", "no label has one, so all count alike; teacher.orders of 2 or more gives one")


def _fit(run: Run, stage: Stage, student: RraBertSettings, labels: list[Label], steps: int) -> int:
    """Run the training workers, the first of which writes the model at the end; returns the epoch they began with."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from actors.distiller import TrainingProgress, probes_of, train_worker
    from actors.streaming import dataset_of

    training = run.settings.training
    board = ray.remote(TrainingProgress).options(num_cpus=0).remote()
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={
            "student": student.model_dump(),
            "training": training.model_dump(),
            "steps_per_epoch": steps,
            "targets": labels[0].provenance.targets,
            "board": board,
            "model": stage.folder / MODEL,
            "probes": probes_of(labels),
        },
        scaling_config=ScalingConfig(
            num_workers=training.workers, use_gpu=training.gpu, resources_per_worker={"CPU": 1, **({"GPU": 1} if training.gpu else {})}
        ),
        run_config=RunConfig(
            name=CHECKPOINTS,
            storage_path=stage.folder.uri,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=1),
            worker_runtime_env={"env_vars": {} if training.gpu else {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}},
        ),
        datasets={"labels": dataset_of(sorted(labels, key=lambda label: label.query_id), Label, per_block=training.lists_per_step)},
    )
    held: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: held.update(_outcome(trainer)), daemon=True)
    thread.start()
    with run.progress.bar(stage.name, steps * training.epochs, "steps") as bar:
        seen = 0
        while thread.is_alive():
            time.sleep(0.5)
            for step in ray.get(board.since.remote(seen)):
                seen += 1
                bar.advance(1, f"loss {step['loss']:.3f}, {step['pairs'] / step['seconds']:.0f} pairs/s")
    if "error" in held:
        raise held["error"]
    first_epoch: int = ray.get(board.began.remote())
    return first_epoch


def _outcome(trainer: Any) -> dict[str, Any]:
    try:
        trainer.fit()
        return {}
    except Exception as error:
        return {"error": error}


if __name__ == "__main__":
    job(main)
