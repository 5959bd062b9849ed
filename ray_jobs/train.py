"""Train students: distil each student from the labels with DeepSpeed on Ray Train workers.

    python -m ray_jobs.train configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.train RUN.yaml

Writes students/<name>/checkpoints/ and students/<name>/model/. The model folder is in Hugging Face format; it is
reloaded, and its scores are compared with those of the student in memory. Interrupted training resumes from its last
checkpoint, even in the middle of an epoch. A student that is distilled from another student is trained after it, on its
scores of the labels, which are written to scores/<name>/.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from ranking.errors import InputError
from ranking.runs.stages import Stage
from ranking.storage.checksums import write_checksums
from ranking.storage.folder import Folder
from ray_jobs.common import capacity_check, model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import TRAINING_SETTINGS
from ray_jobs.common.student_order import training_order
from ray_jobs.tracking import mlflow_tracking
from ray_jobs.training import (
    blend_fitting,
    calibration_fitting,
    quantization_fitting,
    source_scores,
    training_labels,
)
from ray_jobs.training.monitoring import TrainingSummary, write_curves
from ray_jobs.training.preparation import TrainingData, frequent_terms, prepare
from ray_jobs.training.settings_check import check_enough_labels, check_fit, check_language
from ray_jobs.training.validation_scores import ValidationScores
from students import student_config
from students.student_settings import StudentSettings

READS = (*TRAINING_SETTINGS, "mlflow")
"""Settings that this job reads."""

MODEL = "model"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
PLANNED = "planned_steps.txt"


def main(run: Run) -> None:
    """Train all students of the run. A student that others are distilled from is trained before them."""
    mlflow_tracking.check(run)
    model_checks.check(run, ["students"])
    for student in training_order(run.settings.students):
        train(run, student)
        mlflow_tracking.log_student(run, student)


def train(run: Run, student: StudentSettings) -> None:
    """Train one student, fit its blend and calibration, quantize it, and write its model folder.

    Raises:
        InputError: If labels or rationales are missing, or the settings do not fit them.
    """
    stage = run.plan.student(student)
    if run.skip_if_finished(stage):
        return
    training = run.settings.training
    data = prepare(run, student)
    check_enough_labels(data, training)
    check_fit(student, training, data.provenance.targets)
    check_language(student, run.settings.collection.language)
    if data.grades is None:
        training_labels.check_ordered(data.labels.folder, training)
    if training.validation_fraction and not data.validation_ids:
        run.progress.stage(
            "validation",
            f"skipped: {data.query_count} labels are too few for a fraction of {training.validation_fraction:g}; "
            "the last checkpoint is exported",
        )
    capacity_check.check(run, "training")
    scores = source_scores.score_labels(run, student, data.labels, MODEL)
    stage.begin()
    summary = _fit(run, stage, student, data, scores)
    if run.settings.passages is not None:
        student_config.write_passages(stage.folder / MODEL, run.settings.passages)
    validation = ValidationScores(run, student, stage.folder / MODEL, data)
    blend_fitting.blend_student(run, student, validation)
    calibration_fitting.calibrate_student(run, student, validation)
    quantization_fitting.quantize_student(run, student, validation)
    write_checksums(stage.folder / MODEL)
    manifest = stage.finish(
        rows_in=data.label_count, rows_out=data.query_count, rejected=data.label_count - data.query_count
    )
    run.progress.stage(stage.name, f"{len(data.train_ids):,} lists, {summary} in {manifest.seconds:.0f} s")


def _fit(run: Run, stage: Stage, student: StudentSettings, data: TrainingData, scores: Folder | None) -> str:
    """Run the training workers. The first worker writes the model at the end.

    Returns:
        A summary of the training run for the progress line.

    Raises:
        InputError: If the workers report an error in the input or the settings.
    """
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from actors.cluster.placement import training_worker
    from actors.cluster.remote import start_actor
    from actors.compat import ray_train_reservations, ray_train_snapshot
    from actors.training.assignment import Assignment, TrainingBoard
    from actors.training.checkpoints import MEASURE
    from actors.training.worker import train_worker
    from ranking.model_paths import model_path
    from students.bases import has_ranking_head

    training = run.settings.training
    workers = (training.min_workers, training.workers) if training.min_workers else training.workers
    # on the driver's node, because the autoscaler may remove a worker's node
    driver_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = start_actor(TrainingBoard, num_cpus=0, scheduling_strategy=driver_node)
    assignment = Assignment(
        student=student,
        training=training,
        labels=data.labels.folder,
        rationales=data.rationales,
        train=data.train_ids,
        validation=data.validation_ids,
        provenance=data.provenance,
        fingerprint=data.labels.fingerprint,
        model=stage.folder / MODEL,
        tensorboard=stage.folder / TENSORBOARD,
        board=board,
        grades=data.grades,
        clicks=data.clicks,
        base_ranks=has_ranking_head(model_path(student.base), student),
        frequent_terms=frequent_terms(run, student),
        language=run.settings.collection.language,
        source_scores=scores,
    )
    stage.folder.write_text(PLANNED, str(assignment.steps))
    # Ray's type hints for RunConfig and ScalingConfig describe Ray Train V1. Ray 2.60 runs V2.
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"work": assignment},
        scaling_config=ScalingConfig(
            num_workers=workers,  # type: ignore[arg-type]
            use_gpu=training.gpu,
            resources_per_worker=training_worker(training.gpu, run.settings.compute).demand,
        ),
        run_config=RunConfig(  # type: ignore[call-arg]
            name=CHECKPOINTS,
            storage_path=stage.folder.uri,
            checkpoint_config=CheckpointConfig(num_to_keep=1, checkpoint_score_attribute=MEASURE),
            failure_config=FailureConfig(max_failures=training.max_restarts),
            worker_runtime_env={
                "env_vars": {} if training.gpu else {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}
            },
        ),
    )
    repair = ray_train_snapshot.repair(stage.folder / CHECKPOINTS)
    if repair is not None:
        action = f"resumes from the checkpoint of step {repair.step:,}" if repair.step else "restarts from scratch"
        run.progress.stage(stage.name, f"{repair.problem}; training {action}")
    ray_train_reservations.release(stage.folder)
    ray_train_reservations.record(stage.folder, trainer)
    outcome: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: outcome.update(_outcome(trainer)), daemon=True)
    thread.start()
    summary = TrainingSummary()
    try:
        with run.progress.bar(stage.name, assignment.steps, "steps") as bar:
            while thread.is_alive():
                time.sleep(0.5)
                for line in ray.get(board.since.remote(summary.lines)):
                    bar.advance(summary.add(line), summary.note)
    except BaseException:
        with contextlib.suppress(Exception):  # raise the original exception
            write_curves(stage.folder, ray.get(board.since.remote(0)))
        raise
    write_curves(stage.folder, ray.get(board.since.remote(0)))
    first, error = ray.get(board.state.remote())
    if error is not None:
        raise InputError(f"student {student.name}: {error}")
    if "error" in outcome:
        raise outcome["error"]
    return summary.text + (f", resumed after step {first}" if first else "")


def _outcome(trainer: Any) -> dict[str, Any]:
    """Run the trainer. Returns an exception as {"error": ...}, because only the main thread may raise it."""
    try:
        trainer.fit()
        return {}
    except Exception as error:
        return {"error": error}


if __name__ == "__main__":
    job(main, READS)
