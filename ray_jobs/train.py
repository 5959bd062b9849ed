"""From labels to students: distil each student with DeepSpeed on Ray Train's workers.

    python -m ray_jobs.train configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.train configs/quickstart.yaml

Writes students/<name>/checkpoints/ and students/<name>/model/, a Hugging Face folder that was reloaded and
scores as the student did. Training that was cut off goes on from its last checkpoint, in the middle of an epoch too.
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
from ray_jobs.training import blend_fitting, label_merging, training_labels
from students.settings import RraBertSettings, StudentSettings, TrainingSettings

_DOCUMENTS_COUNTED = 50_000
"""Documents that term frequencies are counted in, at most."""

MODEL = "model"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
CURVES = "curves.json"
PLANNED = "planned_steps.txt"


def main(run: Run) -> None:
    for student in run.settings.students:
        train(run, student)


def train(run: Run, student: StudentSettings) -> None:
    """Train one student and write its model folder."""
    stage = plan.student_stage(run, student)
    if run.skipped(stage):
        return
    training = run.settings.training
    label_merging.merge_labels(run)
    labels = training_labels.labels_to_learn(run)
    folder = labels.folder
    first = training_labels.first_label(folder)
    rationales = training_labels.rationales_to_learn(run, student)
    every = dict(zip(folder.read_column("query_id"), folder.read_column("confidence"), strict=True))
    kept = confident(every, training.confidence.min_confidence)
    sure = len(kept)
    if training.labels:
        kept = training_labels.not_tested(run, folder, kept)
    grades = training_labels.judgements(run, kept) if training.targets == "judgements" else None
    provenance = first.provenance if grades is None else training_labels.judged_by(run.collection)
    kept = kept if grades is None else list(grades)
    validation, learned = training_labels.divided(kept, training.validation_fraction, run.settings.queries.seed)
    if len(learned) < training.queries_per_step:
        lower = ["training.queries_per_step", *(["training.validation_fraction"] if validation else [])]
        lower += ["training.confidence.min_confidence"] if sure < len(every) else []
        raise InputError(
            f"{len(learned)} labels are fewer than one step of {training.queries_per_step}; lower {' or '.join(lower)}"
        )
    if training.queries_per_step < training.workers:
        raise InputError(
            f"setting 'training.queries_per_step': {training.queries_per_step} lists are too few for {training.workers} workers; "
            f"at least {training.workers}"
        )
    if training.min_workers is not None and training.min_workers > training.workers:
        raise InputError(
            f"setting 'training.min_workers': {training.min_workers} is more than the {training.workers} workers there are"
        )
    check_fit(student, training, provenance.targets)
    if grades is None:
        training_labels.check_ordered(folder, training)
    _say_confidence(run, every, sure)
    if training.validation_fraction and not validation:
        text = f"none: {len(kept)} labels are too few for a share of {training.validation_fraction:g}; the last checkpoint is exported"
        run.progress.stage("validation", text)
    capacity_check.check(run, "training")
    stage.begin()
    told = _fit(run, stage, student, labels, (learned, validation), provenance, rationales, grades)
    blend_fitting.blend_student(run, student, stage.folder / MODEL, folder, validation, grades)
    manifest = stage.finish(rows_in=len(every), rows_out=len(kept), rejected=len(every) - len(kept))
    run.progress.stage(stage.name, f"{len(learned):,} lists, {told} in {manifest.seconds:.0f} s")


def check_fit(student: StudentSettings, training: TrainingSettings, targets: str) -> None:
    """Raise InputError where the loss does not fit the labels, or the student its base."""
    from ranking.model_paths import model_path
    from students.bases import check_base
    from students.losses import BY_TARGETS, OF_SCORES

    if targets != "scores" and training.loss in OF_SCORES:
        held = "judgements are grades" if targets == "grades" else "these labels hold an order only"
        raise InputError(
            f"setting 'training.loss': {training.loss} matches scores, and {held}; take {BY_TARGETS[targets]}"
        )
    if targets != "grades" and training.loss == "info_nce":
        raise InputError(
            "setting 'training.loss': info_nce sets relevant candidates against irrelevant ones, and a teacher's labels call none "
            f"irrelevant; take {BY_TARGETS[targets]}, or training.targets: judgements"
        )
    check_base(model_path(student.base), student)


def _say_confidence(run: Run, labels: dict[str, float | None], kept: int) -> None:
    """Say how many labels are left out for their confidence, and where none has one to go by."""
    confidence = run.settings.training.confidence
    if kept < len(labels):
        text = f"{len(labels) - kept:,} of {len(labels):,} labels left out, of a confidence below {confidence.min_confidence:g}"
        run.progress.stage("confidence", text)
    elif (confidence.weight or confidence.min_confidence) and all(held is None for held in labels.values()):
        run.progress.stage("confidence", "no label has one, so all count alike; teacher.orders of 2 or more gives one")


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
    """Run the training workers, the first of which writes the model at the end; returns in words what they did."""
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
    here = NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )  # a worker's node may be taken away
    board = ray.remote(TrainingBoard).options(num_cpus=0, scheduling_strategy=here).remote()
    places = (stage.folder / MODEL, stage.folder / TENSORBOARD)
    ranks = has_ranking_head(model_path(student.base), student)
    terms = _frequent_terms(run, student)
    work = Assignment(
        student,
        training,
        labels.folder,
        rationales,
        *ids,
        provenance,
        labels.fingerprint,
        *places,
        board,
        grades,
        ranks,
        terms,
    )
    stage.folder.write_text(PLANNED, str(work.steps))
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"work": work},
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
    mended = ray_train_snapshot.mend(stage.folder / CHECKPOINTS)
    if mended is not None:
        goes_on = f"it is written anew, up to the checkpoint of step {mended:,}" if mended else "training begins anew"
        run.progress.stage(stage.name, f"Ray's list of its checkpoints was cut off as it was written; {goes_on}")
    ray_train_reservations.release(stage.folder)
    ray_train_reservations.note(stage.folder, trainer)
    held: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: held.update(_outcome(trainer)), daemon=True)
    thread.start()
    told = _Told()
    try:
        with run.progress.bar(stage.name, work.steps, "steps") as bar:
            while thread.is_alive():
                time.sleep(0.5)
                for line in ray.get(board.since.remote(told.lines)):
                    bar.advance(told.hear(line), told.note)
    except BaseException:
        with contextlib.suppress(Exception):  # what cut it off is to be told
            write_curves(stage.folder, ray.get(board.since.remote(0)))
        raise
    write_curves(stage.folder, ray.get(board.since.remote(0)))
    first, error = ray.get(board.state.remote())
    if error is not None:
        raise InputError(f"student {student.name}: {error}")
    if "error" in held:
        raise held["error"]
    return told.said + (f", went on after step {first}" if first else "")


def _frequent_terms(run: Run, student: StudentSettings) -> frozenset[int]:
    """Keys of the terms that are too frequent for the student's Token Selection, counted in a sample of the collection's documents."""
    if (
        not isinstance(student, RraBertSettings)
        or student.term_control.form == "none"
        or student.term_control.max_document_frequency == 1
    ):
        return frozenset()
    import ray

    from actors.training.term_frequencies import frequent_terms_of

    documents = run.collection.documents
    sample = random.Random(run.settings.training.seed).sample(documents, min(_DOCUMENTS_COUNTED, len(documents)))
    found: frozenset[int] = ray.get(
        ray.remote(frequent_terms_of).remote(student, [document.content for document in sample])
    )
    run.progress.stage("terms", f"{len(found):,} are too frequent for Token Selection, in {len(sample):,} documents")
    return found


def write_curves(folder: Folder, lines: Sequence[dict[str, float]]) -> None:
    """Write loss and validation by step beside the model; steps that were told before and not again stay."""
    curves: dict[str, dict[float, float]] = {"loss": {}, "validation nDCG@10": {}}
    if folder.exists(CURVES):
        curves |= {name: dict(map(tuple, held)) for name, held in json.loads(folder.read_text(CURVES)).items()}
    for line in lines:
        for key, name in (("loss", "loss"), ("validation", "validation nDCG@10")):
            if key in line:
                curves[name][line["step"]] = line[key]
    folder.write_text(CURVES, json.dumps({name: sorted(held.items()) for name, held in curves.items()}))


class _Told:
    """What the workers told so far. said: in words."""

    def __init__(self) -> None:
        self.lines, self.step, self.pairs, self.seconds = 0, 0, 0.0, 0.0
        self.note = ""
        self.validation: dict[int, float] = {}
        self.exported = 0

    def hear(self, line: dict[str, float]) -> int:
        """Take in a line; returns by how many steps training is further."""
        self.lines += 1
        before, self.step = self.step, max(self.step, int(line["step"]))
        if "exported" in line:
            self.exported = int(line["exported"])
        elif "validation" in line:
            self.validation[int(line["step"])] = line["validation"]
        else:
            self.pairs, self.seconds = self.pairs + line["pairs"], self.seconds + line["seconds"]
            rates = f"{line['pairs'] / line['seconds']:.0f} pairs/s, {line['tokens'] / line['seconds']:,.0f} tokens/s"
            self.note = f"loss {line['loss']:.3f}, {rates}{self._validated()}"
        return self.step - before

    def _validated(self) -> str:
        return f", validation nDCG@10 {list(self.validation.values())[-1]:.3f}" if self.validation else ""

    @property
    def said(self) -> str:
        rate = self.pairs / max(self.seconds, 1e-9)
        validated = (
            f", validation nDCG@10 {self.validation[self.exported]:.3f}" if self.exported in self.validation else ""
        )
        base = self.validation.get(0)
        if not self.exported:
            validated += "; training did not improve the base, which is exported"
        elif base is not None:
            validated += f" (base {base:.3f})"
        return f"{self.pairs:,.0f} pairs at {rate:.0f}/s{validated}, model of step {self.exported}"


def _outcome(trainer: Any) -> dict[str, Any]:
    try:
        trainer.fit()
        return {}
    except Exception as error:
        return {"error": error}


if __name__ == "__main__":
    job(main)
