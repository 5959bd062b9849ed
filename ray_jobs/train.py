"""Train students: distil each student from the labels with DeepSpeed on Ray Train workers.

    python -m ray_jobs.train configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.train RUN.yaml

Writes students/<name>/checkpoints/ and students/<name>/model/. The model folder is in Hugging Face format; it is
reloaded and checked for score parity with the student. Interrupted training resumes from its last checkpoint, also
within an epoch.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any

from ranking.errors import InputError
from ranking.labels.confidence import confident
from ranking.records import Provenance
from ranking.runs.stages import Stage
from ranking.storage.folder import Folder
from ray_jobs.common import capacity_check, plan
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import TRAINING_SETTINGS
from ray_jobs.training import blend_fitting, label_merging, training_labels
from students.settings import RraBertSettings, StudentSettings, TrainingSettings

READS = TRAINING_SETTINGS
"""Settings that this job reads."""

_TERM_FREQUENCY_DOCUMENTS = 50_000
"""Maximum number of documents to count term frequencies in."""

MODEL = "model"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
CURVES = "curves.json"
PLANNED = "planned_steps.txt"


def main(run: Run) -> None:
    """Train all students of the run."""
    for student in run.settings.students:
        train(run, student)


def train(run: Run, student: StudentSettings) -> None:
    """Train one student, fit its blend, and write its model folder.

    Raises:
        InputError: If labels or rationales are missing, or the settings do not fit them.
    """
    stage = run.plan.student(student)
    if run.skip_if_finished(stage):
        return
    training = run.settings.training
    label_merging.merge_labels(run)
    labels = training_labels.require_labels(run)
    folder = labels.folder
    first = training_labels.first_label(folder)
    rationales = training_labels.require_rationales(run, student)
    confidences = dict(zip(folder.read_column("query_id"), folder.read_column("confidence"), strict=True))
    query_ids = confident(confidences, training.confidence.min_confidence)
    confident_count = len(query_ids)
    if training.labels:
        query_ids = training_labels.drop_test_questions(run, folder, query_ids)
    grades = training_labels.judgements(run, query_ids) if training.targets == "judgements" else None
    provenance = first.provenance if grades is None else training_labels.judgement_provenance(run.collection)
    query_ids = query_ids if grades is None else list(grades)
    validation, train_ids = training_labels.split_validation(
        query_ids, training.validation_fraction, run.settings.queries.seed
    )
    if len(train_ids) < training.queries_per_step:
        lower = ["training.queries_per_step", *(["training.validation_fraction"] if validation else [])]
        lower += ["training.confidence.min_confidence"] if confident_count < len(confidences) else []
        raise InputError(
            f"{len(train_ids)} training labels are too few for one step of {training.queries_per_step} queries; "
            f"lower {' or '.join(lower)}"
        )
    if training.queries_per_step < training.workers:
        raise InputError(
            f"setting 'training.queries_per_step': {training.queries_per_step} is less than one query per worker; "
            f"set it to {training.workers} or more, or lower training.workers"
        )
    if training.min_workers is not None and training.min_workers > training.workers:
        raise InputError(
            f"setting 'training.min_workers': {training.min_workers} is more than training.workers ({training.workers})"
        )
    check_fit(student, training, provenance.targets)
    if grades is None:
        training_labels.check_ordered(folder, training)
    _report_confidence(run, confidences, confident_count)
    if training.validation_fraction and not validation:
        run.progress.stage(
            "validation",
            f"skipped: {len(query_ids)} labels are too few for a fraction of {training.validation_fraction:g}; "
            "the last checkpoint is exported",
        )
    capacity_check.check(run, "training")
    stage.begin()
    summary = _fit(run, stage, student, labels, (train_ids, validation), provenance, rationales, grades)
    blend_fitting.blend_student(run, student, stage.folder / MODEL, folder, validation, grades)
    manifest = stage.finish(
        rows_in=len(confidences), rows_out=len(query_ids), rejected=len(confidences) - len(query_ids)
    )
    run.progress.stage(stage.name, f"{len(train_ids):,} lists, {summary} in {manifest.seconds:.0f} s")


def check_fit(student: StudentSettings, training: TrainingSettings, targets: str) -> None:
    """Check that the loss fits the labels, and the student its base model.

    Args:
        student: The student.
        training: Training settings.
        targets: Kind of the targets: `tiers`, `scores` or `grades`.

    Raises:
        InputError: If they do not fit.
    """
    from ranking.model_paths import model_path
    from students.bases import check_base
    from students.losses import BY_TARGETS, OF_SCORES

    if targets != "scores" and training.loss in OF_SCORES:
        actual = "judgements are grades" if targets == "grades" else "these labels only contain an order"
        raise InputError(
            f"setting 'training.loss': {training.loss} needs teacher scores, but {actual}; use {BY_TARGETS[targets]}"
        )
    if targets != "grades" and training.loss == "info_nce":
        raise InputError(
            "setting 'training.loss': info_nce contrasts relevant with irrelevant candidates, but a teacher's labels "
            f"mark none as irrelevant; use {BY_TARGETS[targets]}, or set training.targets to judgements"
        )
    check_base(model_path(student.base), student)


def _report_confidence(run: Run, confidences: dict[str, float | None], confident_count: int) -> None:
    """Print how many labels are dropped for low confidence, or that the setting has no effect without confidences."""
    confidence = run.settings.training.confidence
    if confident_count < len(confidences):
        dropped = len(confidences) - confident_count
        run.progress.stage(
            "confidence",
            f"dropped {dropped:,} of {len(confidences):,} labels with a confidence below {confidence.min_confidence:g}",
        )
    elif (confidence.weight or confidence.min_confidence) and all(value is None for value in confidences.values()):
        run.progress.stage(
            "confidence",
            "no label has a confidence, so all have equal weight; set teacher.orders to 2 or more to get one",
        )


def _fit(
    run: Run,
    stage: Stage,
    student: StudentSettings,
    labels: plan.TrainingInput,
    ids: tuple[list[str], list[str]],
    provenance: Provenance,
    rationales: Folder | None,
    grades: dict[str, dict[str, int]] | None,
) -> str:
    """Run the training workers. The first worker writes the model at the end.

    Args:
        run: The run.
        stage: Stage of the student.
        student: The student.
        labels: Training labels.
        ids: Ids of the queries to train on, and of the queries to validate on.
        provenance: Provenance of the targets.
        rationales: Folder of rationales; None if the student does not learn from them.
        grades: {query_id: {doc_id: grade}} if the targets are judgements.

    Returns:
        A summary of the training for the progress line.

    Raises:
        InputError: If the workers report an error in the input or the settings.
    """
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from actors.cluster.placement import training_worker
    from actors.compat import ray_train_reservations, ray_train_snapshot
    from actors.training.assignment import Assignment, TrainingBoard
    from actors.training.checkpoints import MEASURE
    from actors.training.worker import train_worker
    from ranking.model_paths import model_path
    from students.bases import has_ranking_head

    training = run.settings.training
    # on the driver's node, because the autoscaler may remove a worker's node
    driver_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = ray.remote(TrainingBoard).options(num_cpus=0, scheduling_strategy=driver_node).remote()
    output_folders = (stage.folder / MODEL, stage.folder / TENSORBOARD)
    base_ranks = has_ranking_head(model_path(student.base), student)
    frequent_terms = _frequent_terms(run, student)
    assignment = Assignment(
        student,
        training,
        labels.folder,
        rationales,
        *ids,
        provenance,
        labels.fingerprint,
        *output_folders,
        board,
        grades,
        base_ranks,
        frequent_terms,
    )
    stage.folder.write_text(PLANNED, str(assignment.steps))
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"work": assignment},
        scaling_config=ScalingConfig(
            num_workers=(training.min_workers, training.workers) if training.min_workers else training.workers,
            use_gpu=training.gpu,
            resources_per_worker=training_worker(training.gpu, run.settings.compute).demand,
        ),
        run_config=RunConfig(
            name=CHECKPOINTS,
            storage_path=stage.folder.uri,
            checkpoint_config=CheckpointConfig(num_to_keep=1, checkpoint_score_attribute=MEASURE),
            failure_config=FailureConfig(max_failures=training.max_restarts),
            worker_runtime_env={
                "env_vars": {} if training.gpu else {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}
            },
        ),
    )
    last_step = ray_train_snapshot.repair(stage.folder / CHECKPOINTS)
    if last_step is not None:
        action = (
            f"repaired it up to the checkpoint of step {last_step:,}" if last_step else "training restarts from scratch"
        )
        run.progress.stage(stage.name, f"Ray's list of checkpoints was incomplete; {action}")
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


def _frequent_terms(run: Run, student: StudentSettings) -> frozenset[int]:
    """Return the keys of the terms that are too frequent for the student's Token Selection.

    Document frequencies are counted in a sample of the collection. Empty if the student does not limit them.
    """
    if (
        not isinstance(student, RraBertSettings)
        or student.term_control.form == "none"
        or student.term_control.max_document_frequency == 1
    ):
        return frozenset()
    import ray

    from actors.training.term_frequencies import frequent_terms_of

    documents = run.collection.documents
    sample = random.Random(run.settings.training.seed).sample(documents, min(_TERM_FREQUENCY_DOCUMENTS, len(documents)))
    terms: frozenset[int] = ray.get(
        ray.remote(frequent_terms_of).remote(student, [document.content for document in sample])
    )
    run.progress.stage(
        "terms", f"{len(terms):,} terms are too frequent for Token Selection, counted in {len(sample):,} documents"
    )
    return terms


def write_curves(folder: Folder, lines: Sequence[dict[str, float]]) -> None:
    """Write loss and validation nDCG@10 by step. Keeps the steps of earlier calls that `lines` does not repeat.

    Args:
        folder: Folder of the student.
        lines: What the workers reported, see `TrainingBoard`.
    """
    curves: dict[str, dict[float, float]] = {"loss": {}, "validation nDCG@10": {}}
    if folder.exists(CURVES):
        curves |= {name: dict(map(tuple, points)) for name, points in json.loads(folder.read_text(CURVES)).items()}
    for line in lines:
        for key, name in (("loss", "loss"), ("validation", "validation nDCG@10")):
            if key in line:
                curves[name][line["step"]] = line[key]
    folder.write_text(CURVES, json.dumps({name: sorted(points.items()) for name, points in curves.items()}))


class TrainingSummary:
    """Totals of what the training workers reported so far.

    Attributes:
        lines: Number of reports.
        step: Highest step.
        pairs: Total number of query-document pairs.
        seconds: Total time of the optimizer steps, in seconds.
        note: Text beside the progress bar.
        validation: Validation nDCG@10 by step.
        exported: Step of the exported model; 0 for the base model.
    """

    def __init__(self) -> None:
        """Initialise an empty summary."""
        self.lines, self.step, self.pairs, self.seconds = 0, 0, 0.0, 0.0
        self.note = ""
        self.validation: dict[int, float] = {}
        self.exported = 0

    def add(self, line: dict[str, float]) -> int:
        """Add one report.

        Returns:
            Number of steps by which training advanced. 0 while workers repeat steps after a restart.
        """
        self.lines += 1
        before, self.step = self.step, max(self.step, int(line["step"]))
        if "exported" in line:
            self.exported = int(line["exported"])
        elif "validation" in line:
            self.validation[int(line["step"])] = line["validation"]
        else:
            self.pairs, self.seconds = self.pairs + line["pairs"], self.seconds + line["seconds"]
            rates = f"{line['pairs'] / line['seconds']:.0f} pairs/s, {line['tokens'] / line['seconds']:,.0f} tokens/s"
            self.note = f"loss {line['loss']:.3f}, {rates}{self._last_validation()}"
        return self.step - before

    def _last_validation(self) -> str:
        return f", validation nDCG@10 {list(self.validation.values())[-1]:.3f}" if self.validation else ""

    @property
    def text(self) -> str:
        """The summary as text, with pairs/s and the validation of the exported model."""
        rate = self.pairs / max(self.seconds, 1e-9)
        validation = (
            f", validation nDCG@10 {self.validation[self.exported]:.3f}" if self.exported in self.validation else ""
        )
        base = self.validation.get(0)
        if not self.exported:
            validation += "; training did not improve the base, which is exported"
        elif base is not None:
            validation += f" (base {base:.3f})"
        return f"{self.pairs:,.0f} pairs at {rate:.0f}/s{validation}, model of step {self.exported}"


def _outcome(trainer: Any) -> dict[str, Any]:
    """Run the trainer and return its exception as `error`, to raise it in the main thread."""
    try:
        trainer.fit()
        return {}
    except Exception as error:
        return {"error": error}


if __name__ == "__main__":
    job(main, READS)
