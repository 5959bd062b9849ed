"""From labels to students: distil each student with DeepSpeed on Ray Train's workers.

    python -m ray_jobs.train configs/quickstart.yaml
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.train configs/quickstart.yaml

Writes students/<name>/checkpoints/ and students/<name>/model/, a Hugging Face folder that was reloaded and
scores as the student did. Training that was cut off goes on from its last checkpoint, in the middle of an epoch too.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.labelling.confidence import confident
from ranking.labelling.long_tail import keys_of_questions
from ranking.labelling.near_duplicates import fold_key
from ranking.labelling.query_text import normalise
from ranking.labelling.views import viewed
from ranking.records import Label, Provenance, misfit
from ranking.stages import Stage
from ranking.storage import Folder
from ray_jobs import demands, plan
from ray_jobs.run import Run, job
from students.settings import StudentSettings, TrainingSettings

MODEL = "model"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
CURVES = "curves.json"


def main(run: Run) -> None:
    for student in run.settings.students:
        train(run, student)


def train(run: Run, student: StudentSettings) -> None:
    """Train one student and write its model folder."""
    stage = plan.student_stage(run, student)
    if run.skipped(stage):
        return
    training = run.settings.training
    labels = labels_to_learn(run)
    folder = labels.folder
    first = first_label(folder)
    reasons = reasons_to_learn(run, student)
    every = dict(zip(folder.read_column("query_id"), folder.read_column("confidence"), strict=True))
    kept = confident(every, training.confidence.at_least)
    sure = len(kept)
    if training.labels is not None:
        kept = not_tested(run, folder, kept)
    grades = judgements(run, kept) if training.targets == "judgements" else None
    provenance = first.provenance if grades is None else judged_by(run.collection)
    kept = kept if grades is None else list(grades)
    held_out, learned = divided(kept, training)
    if len(learned) < training.lists_per_step:
        lower = ["training.lists_per_step", *(["training.held_out"] if held_out else [])]
        lower += ["training.confidence.at_least"] if sure < len(every) else []
        raise InputError(f"{len(learned)} labels are fewer than one step of {training.lists_per_step}; lower {' or '.join(lower)}")
    if training.lists_per_step < training.workers:
        raise InputError(
            f"setting 'training.lists_per_step': {training.lists_per_step} lists are too few for {training.workers} workers; "
            f"at least {training.workers}"
        )
    if training.least_workers is not None and training.least_workers > training.workers:
        raise InputError(
            f"setting 'training.least_workers': {training.least_workers} is more than the {training.workers} workers there are"
        )
    check_fit(student, training, provenance.targets)
    if grades is None:
        check_ordered(folder, training)
    _say_confidence(run, every, sure)
    if training.held_out and not held_out:
        run.progress.stage(
            "held out", f"nothing: {len(kept)} labels are too few for a share of {training.held_out:g}; the last checkpoint is kept"
        )
    demands.check(run, "training")
    stage.begin()
    told = _fit(run, stage, student, labels, (learned, held_out), provenance, reasons, grades)
    manifest = stage.finish(rows_in=len(every), rows_out=len(kept), rejected=len(every) - len(kept))
    run.progress.stage(stage.name, f"{len(learned):,} lists, {told} in {manifest.seconds:.0f} s")


def labels_to_learn(run: Run) -> plan.Learned:
    """The labels that are learned from. Raises InputError where those of these settings are not made, or not all."""
    if run.settings.training.labels is None:
        stage = plan.labels_stage(run)
        if stage.restore() is None:
            raise InputError(f"{stage.folder.uri}: the labels of these settings are not made, or not all; run ray_jobs.label first")
    return plan.labels_to_learn(run)


def first_label(folder: Folder) -> Label:
    """Read one label. Raises InputError where there is none, or where a part's are not of this version."""
    first, known = None, []
    for part in folder.names(".parquet"):
        schema = folder.schema(part)
        if schema in known or not folder.count_rows(part):
            continue
        known.append(schema)
        missing = [name for name in Label.model_fields if name not in schema.names]
        try:
            label = Label.model_validate(folder.read_row_group(part, 0).slice(0, 1).to_pylist()[0])
        except ValidationError as error:
            raise InputError(f"{folder.uri}/{part}: {misfit(error)}; label anew") from None
        if missing:
            raise InputError(f"{folder.uri}/{part}: not of this version ({missing[0]}: there is no such column); label anew")
        first = first or label
    if first is None:
        raise InputError(f"{folder.uri}: there are no labels to learn from; run ray_jobs.label first")
    return first


def check_ordered(folder: Folder, training: TrainingSettings) -> None:
    """Raise InputError where no list prefers one document to another, so that there is nothing to learn."""
    for label in folder.read_rows(Label):
        if len({candidate.target for candidate in viewed(label, training.missing, training.pre_ranked)}) > 1:
            return
    raise InputError(
        f"{folder.uri}: no label prefers one document to another as training.missing ({training.missing}) and training.pre_ranked "
        f"({training.pre_ranked}) read it; there is nothing to learn"
    )


def not_tested(run: Run, labels: Folder, ids: Sequence[str]) -> list[str]:
    """Leave out labels of another run whose query asks what a test question of this one does; those of its own were never selected."""
    questions = keys_of_questions([query.text for query in run.collection.test])
    texts = dict(zip(labels.read_column("query_id"), labels.read_column("query"), strict=True))
    kept = [query_id for query_id in ids if fold_key(normalise(texts[query_id])) not in questions]
    if len(kept) < len(ids):
        run.progress.stage("labels", f"{len(ids) - len(kept):,} of {len(ids):,} left out, as their queries are test questions here")
    return kept


def judgements(run: Run, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """The judgements of labelled queries that have a relevant document. Raises InputError where no query has one."""
    lowest = run.settings.training.relevant_grade
    held = run.collection.log_qrels
    grades = {query_id: held[query_id] for query_id in ids if any(grade >= lowest for grade in held.get(query_id, {}).values())}
    if not grades:
        raise InputError(
            f"setting 'training.targets': {run.collection.name} has no judgements of grade {lowest} or more for the labelled queries; "
            "take labels, or a BEIR folder with qrels/train.tsv"
        )
    run.progress.stage(
        "judgements", f"{len(grades):,} of {len(ids):,} labelled queries have a relevant document; only they are learned from"
    )
    return grades


def judged_by(collection: Collection) -> Provenance:
    """Where targets come from that are judgements."""
    return Provenance(teacher=f"judgements of {collection.name}", fingerprint=collection.fingerprint, engine="none", targets="grades")


def reasons_to_learn(run: Run, student: StudentSettings) -> Folder | None:
    """The reasons, where the student learns from them. Raises InputError where they are wanted and not all written."""
    if not plan.reads_reasons(run, student):
        return None
    if run.settings.training.labels is not None:
        return plan.reasons_to_learn(run).folder
    stage = plan.reasons_stage(run)
    if stage.restore() is None:
        raise InputError(f"{stage.folder.uri}: the reasons of these settings are not written, or not all; run ray_jobs.reason first")
    return stage.folder


def divided(ids: Sequence[str], training: TrainingSettings) -> tuple[list[str], list[str]]:
    """Divide queries into those to validate on and those to learn from; the same for the same ids and seed."""
    from actors.training.lists import order_of

    drawn = order_of(ids, training.seed, -1)
    held_out = int(training.held_out * len(drawn))
    return drawn[:held_out], drawn[held_out:]


def check_fit(student: StudentSettings, training: TrainingSettings, targets: str) -> None:
    """Raise InputError where the loss does not fit the labels, or the student its base."""
    from ranking.encoders import model_path
    from students.bases import check_base
    from students.losses import BY_TARGETS, OF_SCORES

    if targets != "scores" and training.loss in OF_SCORES:
        held = "judgements are grades" if targets == "grades" else "these labels hold an order only"
        raise InputError(f"setting 'training.loss': {training.loss} matches scores, and {held}; take {BY_TARGETS[targets]}")
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
        text = f"{len(labels) - kept:,} of {len(labels):,} labels left out, of a confidence below {confidence.at_least:g}"
        run.progress.stage("confidence", text)
    elif (confidence.weight or confidence.at_least) and all(held is None for held in labels.values()):
        run.progress.stage("confidence", "no label has one, so all count alike; teacher.orders of 2 or more gives one")


def _fit(
    run: Run,
    stage: Stage,
    student: StudentSettings,
    labels: plan.Learned,
    ids: tuple[list[str], list[str]],
    provenance: Provenance,
    reasons: Folder | None,
    grades: dict[str, dict[str, int]] | None,
) -> str:
    """Run the training workers, the first of which writes the model at the end; returns in words what they did."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from actors.placement import training_worker
    from actors.training import reserved, snapshot
    from actors.training.checkpoints import MEASURE
    from actors.training.plan import Assignment, TrainingBoard
    from actors.training.worker import train_worker

    training = run.settings.training
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # a worker's node may be taken away
    board = ray.remote(TrainingBoard).options(num_cpus=0, scheduling_strategy=here).remote()
    places = (stage.folder / MODEL, stage.folder / TENSORBOARD)
    work = Assignment(student, training, labels.folder, reasons, *ids, provenance, labels.fingerprint, *places, board, grades)
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"work": work},
        scaling_config=ScalingConfig(
            num_workers=(training.least_workers, training.workers) if training.least_workers else training.workers,
            use_gpu=training.gpu,
            resources_per_worker=training_worker(training.gpu, run.settings.compute).demand,
        ),
        run_config=RunConfig(
            name=CHECKPOINTS,
            storage_path=stage.folder.uri,
            checkpoint_config=CheckpointConfig(num_to_keep=1, checkpoint_score_attribute=MEASURE),
            failure_config=FailureConfig(max_failures=training.failures),
            worker_runtime_env={"env_vars": {} if training.gpu else {"DS_ACCELERATOR": "cpu", "ACCELERATE_USE_CPU": "true"}},
        ),
    )
    mended = snapshot.mend(stage.folder / CHECKPOINTS)
    if mended is not None:
        goes_on = f"it is written anew, up to the checkpoint of step {mended:,}" if mended else "training begins anew"
        run.progress.stage(stage.name, f"Ray's list of its checkpoints was cut off as it was written; {goes_on}")
    reserved.release(stage.folder)
    reserved.note(stage.folder, trainer)
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


def write_curves(folder: Folder, lines: Sequence[dict[str, float]]) -> None:
    """Write loss and validation by step beside the model; steps that were told before and not again stay."""
    curves: dict[str, dict[float, float]] = {"loss": {}, "held-out nDCG@10": {}}
    if folder.exists(CURVES):
        curves |= {name: dict(map(tuple, held)) for name, held in json.loads(folder.read_text(CURVES)).items()}
    for line in lines:
        for key, name in (("loss", "loss"), ("validation", "held-out nDCG@10")):
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
        return f", held-out nDCG@10 {list(self.validation.values())[-1]:.3f}" if self.validation else ""

    @property
    def said(self) -> str:
        rate = self.pairs / max(self.seconds, 1e-9)
        held_out = f", held-out nDCG@10 {self.validation[self.exported]:.3f}" if self.exported in self.validation else ""
        return f"{self.pairs:,.0f} pairs at {rate:.0f}/s{held_out}, model of step {self.exported}"


def _outcome(trainer: Any) -> dict[str, Any]:
    try:
        trainer.fit()
        return {}
    except Exception as error:
        return {"error": error}


if __name__ == "__main__":
    job(main)
