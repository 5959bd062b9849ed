"""Training on Ray Train and DeepSpeed: resuming, several workers, ZeRO stages, and both kinds of students."""

import json
import math
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from actors.compat import ray_train_snapshot
from actors.training.label_batches import epoch_order
from ranking.model_paths import model_path
from ranking.runs.stages import manifest_of
from ranking.storage.folder import Folder
from ray_jobs.training.training_labels import split_validation
from students.training_settings import TrainingSettings
from tests.testing.facts import ROOT
from tests.testing.programs import run_program
from tests.testing.training_runs import (
    BERT,
    PROVENANCE,
    VALIDATION_FRACTION,
    copy_labels,
    distinct_scores,
    fact_label,
    train,
    training_command,
    weights_of,
)
from tools.local_cluster.processes import wait_until
from tools.tiny_models import tiny_generator

SCORED = PROVENANCE.model_copy(update={"targets": "scores"})
VALIDATION_SEED = 13
KILLS = int(os.environ.get("KILLS", "2"))
ZERO_STAGE = int(os.environ.get("ZERO_STAGE", "2"))
"""Raise `KILLS` and `ZERO_STAGE` for a longer test: `KILLS=5 ZERO_STAGE=3 pytest tests/system/test_training.py`."""
pytestmark = pytest.mark.timeout(600)


def workers_of(head_environment):
    """Return the training worker processes of the test cluster."""
    address = head_environment["RAY_ADDRESS"]
    workers = []
    for process in psutil.process_iter(["cmdline"]):
        if "TrainWorker" in " ".join(process.info["cmdline"] or []):
            try:
                if address.split(":")[1] in " ".join(process.parent().cmdline()):
                    workers.append(process)
            except psutil.Error:
                continue
    return workers


def test_training_killed_at_random_steps_ends_with_identical_weights(labelled, collection, cluster, tmp_path):
    uninterrupted = copy_labels(labelled, tmp_path / "uninterrupted")
    output = train(uninterrupted, collection, cluster, BERT, precision="fp32")
    assert "validation nDCG@10" in output
    killed = copy_labels(labelled, tmp_path / "killed")
    command = training_command(killed, collection, BERT, precision="fp32", max_restarts=10)
    job = subprocess.Popen(command, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = killed / "students" / "bert" / "checkpoints"
    rng, kills, last_snapshot = random.Random(5), 0, 0
    deadline = time.monotonic() + 300
    while job.poll() is None and kills < KILLS:
        assert time.monotonic() < deadline
        checkpoints = folder.exists() and any(name.startswith("checkpoint_") for name in folder.names())
        snapshot = (
            folder.read_text("checkpoint_manager_snapshot.json")
            if folder.exists("checkpoint_manager_snapshot.json")
            else ""
        )
        if checkpoints and snapshot != last_snapshot and (workers := workers_of(cluster)):
            time.sleep(rng.uniform(0, 0.6))
            workers[0].send_signal(signal.SIGKILL)
            kills, last_snapshot = kills + 1, snapshot
        time.sleep(0.05)
    output, _ = job.communicate(timeout=400)
    assert job.returncode == 0, output
    assert kills == KILLS
    expected, weights = weights_of(uninterrupted), weights_of(killed)
    assert set(expected) == set(weights)
    assert all(expected[name].equal(weights[name]) for name in expected)
    assert any(name.startswith("events.") for name in (killed / "students" / "bert" / "tensorboard").names())
    card = Folder(f"{killed.uri}/students/bert/model").read_text("README.md")
    assert card.startswith("---\nlibrary_name: transformers")
    validated = json.loads((killed / "students" / "bert").read_text("curves.json"))["validation nDCG@10"]
    best, _ = max(validated, key=lambda point: point[1])  # the first of equally good steps
    assert [step for step, _ in validated] == [2, 4, 6, 8]
    for line in (
        "| teacher | made |",
        f"| labels' fingerprint | {labels_manifest(killed).fingerprint} |",
        f"| optimizer steps | {best} |",
    ):
        assert line in card
    assert "nDCG@10 against the teacher on 5 validation lists" in card


def test_interrupted_job_names_the_resume_command_and_releases_its_run(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    command = training_command(folder, collection, BERT, precision="fp32", epochs=500)
    job = subprocess.Popen(command, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    checkpoints = folder / "students" / "bert" / "checkpoints"
    assert wait_until(lambda: checkpoints.exists("checkpoint_manager_snapshot.json"), 200)
    job.terminate()
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 130, output
    assert "interrupted; to resume: python -m ray_jobs.train" in output
    assert json.loads(folder.read_text("lease.json"))["holder"] is None


def test_training_of_two_workers_resumes_with_one_to_the_same_model(labelled, collection, cluster, tmp_path):
    base = without_dropout(tmp_path / "base")  # dropout masks differ between workers
    student = {**BERT, "base": str(base), "term_control": {"form": "none"}}
    uninterrupted = copy_labels(labelled, tmp_path / "uninterrupted")
    microbatches = {"zero_stage": 0, "max_tokens_per_microbatch": 100, "activation_checkpointing": True}
    train(uninterrupted, collection, cluster, student, precision="fp32", workers=2, **microbatches)
    assert len(distinct_scores(uninterrupted, "bert")) > 1
    interrupted = copy_labels(labelled, tmp_path / "interrupted")
    two_workers = {"workers": 2, "max_restarts": 0, "zero_stage": ZERO_STAGE}
    command = training_command(interrupted, collection, student, precision="fp32", **two_workers)
    job = subprocess.Popen(command, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    checkpoints = interrupted / "students" / "bert" / "checkpoints"
    deadline = time.monotonic() + 200
    while not checkpoints.exists("checkpoint_manager_snapshot.json") or "checkpoint_" not in checkpoints.read_text(
        "checkpoint_manager_snapshot.json"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers_of(cluster)[0].send_signal(signal.SIGKILL)
    output, _ = job.communicate(timeout=400)
    assert job.returncode == 1, output
    # truncated, as if the job had been killed while Ray wrote the snapshot
    checkpoints.write_text(ray_train_snapshot.NAME, checkpoints.read_text(ray_train_snapshot.NAME)[:100])
    one_worker = {"workers": 1, "zero_stage": ZERO_STAGE}
    output = train(interrupted, collection, cluster, student, precision="fp32", **one_worker)
    assert "was incomplete; training resumes from the checkpoint of step" in output
    assert "resumed after step" in output
    expected, weights = weights_of(uninterrupted), weights_of(interrupted)
    before = load_file(base / "model.safetensors")
    names = [name for name in before if name.startswith("encoder.layer.") and name.endswith(".weight")]
    assert len(names) > 20
    for name in names:
        moved = (expected[f"bert.{name}"] - before[name]).abs().mean()
        assert moved > 0
        assert (expected[f"bert.{name}"] - weights[f"bert.{name}"]).abs().mean() < 0.02 * moved, name


def without_dropout(folder):
    """Save the bundled encoder with only its first three of six layers and with dropout disabled."""
    config = {"num_hidden_layers": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = AutoModel.from_pretrained(model_path("minilm"), **config)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(folder)
    return folder


def test_decoder_trains_fully_or_with_lora_in_zero_3_with_offload(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    base = tiny_generator(tmp_path / "base")
    full = {"name": "gpt", "kind": "rra_gpt", "base": str(base), "max_length": 160}
    lora = {**full, "name": "adapted", "lora": {"rank": 4, "dropout": 0.0}}
    more = {"workers": 2, "zero_stage": 3, "offload": True, "learning_rate": 1e-3, "freeze_embeddings": False}
    train(folder, collection, cluster, [full, lora], precision="fp32", **more)
    before = load_file(base / "model.safetensors")
    for student in (full, lora):
        assert len(distinct_scores(folder, student["name"])) > 1
        after = weights_of(folder, student["name"])
        assert set(after) - set(before) == {"score.weight"}
        moved = {name for name in set(after) & set(before) if not after[name].equal(before[name])}
        linear = {name for name in after if ".layers." in name and "_proj" in name}
        assert linear <= moved
        assert student is full or moved == linear


def test_nan_loss_is_a_one_line_error_and_keeps_the_last_checkpoint(collection, cluster, tmp_path):
    folder = Folder(tmp_path) / "made"
    query_ids = [fact_label(number).query_id for number in range(24)]
    _, training = split_validation(query_ids, VALIDATION_FRACTION, VALIDATION_SEED)
    # the query is in the last step of the first epoch
    wrong = epoch_order(training, TrainingSettings().seed, 0)[len(training) // 4 * 4 - 1]
    labels = [fact_label(number).model_copy(update={"provenance": SCORED}) for number in range(24)]
    for label in labels:
        if label.query_id == wrong:
            label.candidates[0].target = math.nan
    (folder / "labels").write_rows("part-0.parquet", labels)
    command = training_command(folder, collection, BERT, precision="fp32", max_restarts=0, checkpoint_every=1)
    done = run_program(command, cluster, 400)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert f"the loss is NaN or infinite at step {len(training) // 4}, query {wrong}; the last good checkpoint" in line
    saved = checkpoint_weights(folder)
    assert saved
    assert all(weights.isfinite().all() for weights in saved)
    assert not (folder / "students" / "bert" / "model").exists()


def test_step_with_infinite_scores_is_not_saved(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    command = training_command(
        folder,
        collection,
        BERT,
        precision="fp32",
        learning_rate=1e18,
        max_grad_norm=1e30,
        warmup_ratio=1.0,
        max_restarts=0,
        checkpoint_every=1,
    )
    done = run_program(command, cluster, 400)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "the scores are NaN or infinite after step 1, query q" in line
    assert checkpoint_weights(folder) == []
    assert not (folder / "students" / "bert" / "model").exists()


def test_labels_of_other_settings_are_refused(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    command = training_command(folder, collection, BERT)
    done = run_program([*command, "--pre_ranker.top", "5"], cluster, 100)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith("made/labels: labelling with these settings is not finished; run ray_jobs.label first")


def labels_manifest(folder):
    """Return the manifest of a run's labels."""
    return manifest_of(folder / "labels")


def checkpoint_weights(folder):
    """Return the weights in all checkpoints."""
    paths = Path(folder.path, "students", "bert", "checkpoints").glob("checkpoint_*/student/mp_rank_00_model_states.pt")
    return [weights for path in paths for weights in torch.load(path, weights_only=False)["module"].values()]
