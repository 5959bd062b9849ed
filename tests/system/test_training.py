"""Training on Ray Train and DeepSpeed: killed and gone on, over several workers and ZeRO stages, of both kinds of students."""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from actors.compat import ray_train_snapshot
from actors.training.label_batches import order_of
from benchmarks.faults.processes import wait_until
from ranking.labels.targets import tiers_from_order
from ranking.model_paths import model_path
from ranking.records import Answer, Candidate, Label, Provenance, Usage
from ranking.runs.stages import manifest_of
from ranking.storage.folder import Folder
from ray_jobs.common import plan
from ray_jobs.common.run import open_run
from ray_jobs.training.training_labels import divided
from students.scoring import ClassifierScorer, Scorer
from students.settings import TrainingSettings
from tests.testing.facts import FACTS, QUESTIONS, ROOT
from tests.testing.programs import ran
from tools.tiny_models import tiny_generator

PROVENANCE = Provenance(teacher="made", fingerprint="made", engine="recorded", targets="tiers")
SCORED = PROVENANCE.model_copy(update={"targets": "scores"})
BERT = {"name": "bert", "kind": "rra_bert", "base": "minilm", "max_length": 32, "term_control": {"form": "layer"}}
FRACTION, SEED = 0.17, 13
KILLS = int(os.environ.get("KILLS", "2"))
ZERO_STAGE = int(os.environ.get("ZERO_STAGE", "2"))
"""Both can be raised for a longer look: `KILLS=5 ZERO_STAGE=3 pytest tests/system/test_training.py`."""
pytestmark = pytest.mark.timeout(600)


def label_of(number):
    query_id, query, answer = QUESTIONS[number % len(QUESTIONS)]
    texts = dict(FACTS)
    shown = [answer, *random.Random(number).sample([doc_id for doc_id in texts if doc_id != answer], 3)]
    picked = [
        (
            Candidate(doc_id=doc_id, title="", text=texts[doc_id], rank=rank, score=1 / rank, retriever="made"),
            rank,
            rank < 3,
        )
        for rank, doc_id in enumerate(shown, 1)
    ]
    return Label(
        query_id=f"{query_id}-{number}",
        query=query,
        candidates=tiers_from_order(picked, shown[:2]),
        answer=Answer(missing=2),
        provenance=PROVENANCE,
        usage=Usage(),
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A storage folder with a run that has 24 labels and nothing else."""
    storage = tmp_path_factory.mktemp("labelled")
    labels = [label_of(number) for number in range(24)]
    for part in range(3):
        (Folder(storage) / "made" / "labels").write_rows(f"part-{part}.parquet", labels[part * 8 : part * 8 + 8])
    return storage


def copied(labelled, place):
    (Folder(labelled) / "made").copy_to(Folder(place) / "made")
    return Folder(place) / "made"


def command(folder, collection, student, **training):
    settings = {
        "queries_per_step": 4,
        "epochs": 2,
        "validation_fraction": FRACTION,
        "workers": 1,
        "checkpoint_every": 2,
        "freeze_embeddings": True,
        **training,
    }
    storage, students = folder.uri.rsplit("/", 1)[0], student if isinstance(student, list) else [student]
    given = {
        "run": "made",
        "storage": storage,
        "collection.source": f"beir:{collection}",
        "students": json.dumps(students),
    }
    given |= {f"training.{name}": json.dumps(value) for name, value in settings.items()}
    arguments = ["configs/collection.yaml", *(part for k, v in given.items() for part in (f"--{k}", v))]
    plan.labels_stage(open_run(arguments)).finish(rows_in=24, rows_out=24)  # as if they were made with these settings
    return [sys.executable, "-m", "ray_jobs.train", *arguments]


def trained(folder, collection, cluster, student, **training):
    call = command(folder, collection, student, **training)
    done = ran(call, cluster, 400)
    trace = folder / "logs"
    assert done.returncode == 0, (
        done.stdout + done.stderr + (trace.read_text("trace.txt") if trace.exists("trace.txt") else "")
    )
    return done.stdout


def weights_of(folder, name="bert"):
    return load_file(f"{folder.path}/students/{name}/model/model.safetensors")


def workers_of(head_environment):
    """Processes that train on the cluster of the tests."""
    address = head_environment["RAY_ADDRESS"]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "TrainWorker" in " ".join(process.info["cmdline"] or []):
            try:
                if address.split(":")[1] in " ".join(process.parent().cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
    return found


def test_killed_at_random_steps_it_ends_with_the_same_weights_bit_for_bit(labelled, collection, cluster, tmp_path):
    whole = copied(labelled, tmp_path / "whole")
    said = trained(whole, collection, cluster, BERT, precision="fp32")
    assert "validation nDCG@10" in said
    killed = copied(labelled, tmp_path / "killed")
    call = command(killed, collection, BERT, precision="fp32", max_restarts=10)
    job = subprocess.Popen(call, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place = killed / "students" / "bert" / "checkpoints"
    drawn, kills, seen = random.Random(5), 0, 0
    deadline = time.monotonic() + 300
    while job.poll() is None and kills < KILLS:
        assert time.monotonic() < deadline
        checkpoints = len([info for info in place.names() if info.startswith("checkpoint_")]) if place.exists() else 0
        told = (
            place.read_text("checkpoint_manager_snapshot.json")
            if place.exists("checkpoint_manager_snapshot.json")
            else ""
        )
        if checkpoints and told != seen and (victims := workers_of(cluster)):
            time.sleep(drawn.uniform(0, 0.6))
            victims[0].send_signal(signal.SIGKILL)
            kills, seen = kills + 1, told
        time.sleep(0.05)
    out, _ = job.communicate(timeout=400)
    assert job.returncode == 0, out
    assert kills == KILLS
    expected, found = weights_of(whole), weights_of(killed)
    assert set(expected) == set(found)
    assert all(expected[name].equal(found[name]) for name in expected)
    assert any(name.startswith("events.") for name in (killed / "students" / "bert" / "tensorboard").names())
    card = Folder(f"{killed.uri}/students/bert/model").read_text("README.md")
    assert card.startswith("---\nlibrary_name: transformers")
    validated = json.loads((killed / "students" / "bert").read_text("curves.json"))["validation nDCG@10"]
    best, _ = max(validated, key=lambda one: one[1])  # the first of equal ones
    assert [step for step, _ in validated] == [2, 4, 6, 8]
    for told in (
        "| teacher | made |",
        f"| labels' fingerprint | {labels_of(killed).fingerprint} |",
        f"| optimizer steps | {best} |",
    ):
        assert told in card
    assert "nDCG@10 against the teacher on 5 validation lists" in card


def test_a_job_that_is_told_to_stop_says_how_to_go_on_and_gives_its_run_back(labelled, collection, cluster, tmp_path):
    folder = copied(labelled, tmp_path)
    call = command(folder, collection, BERT, precision="fp32", epochs=500)
    job = subprocess.Popen(call, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place = folder / "students" / "bert" / "checkpoints"
    assert wait_until(lambda: place.exists("checkpoint_manager_snapshot.json"), 200)
    job.terminate()
    out, _ = job.communicate(timeout=60)
    assert job.returncode == 130, out
    assert "interrupted; to go on from here: python -m ray_jobs.train" in out
    assert json.loads(folder.read_text("lease.json"))["holder"] is None


def test_cut_off_with_two_workers_it_goes_on_with_one_to_the_model_that_others_make_in_turns(
    labelled, collection, cluster, tmp_path
):
    base = without_dropout(tmp_path / "base")  # each worker draws its own
    student = {**BERT, "base": str(base), "term_control": {"form": "none"}}
    whole = copied(labelled, tmp_path / "whole")
    in_turns = {"zero_stage": 0, "max_tokens_per_microbatch": 100, "activation_checkpointing": True}
    trained(whole, collection, cluster, student, precision="fp32", workers=2, **in_turns)
    assert len(scores_of(whole, "bert")) > 1
    cut = copied(labelled, tmp_path / "cut")
    call = command(cut, collection, student, precision="fp32", workers=2, max_restarts=0, zero_stage=ZERO_STAGE)
    job = subprocess.Popen(call, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place = cut / "students" / "bert" / "checkpoints"
    deadline = time.monotonic() + 200
    while not place.exists("checkpoint_manager_snapshot.json") or "checkpoint_" not in place.read_text(
        "checkpoint_manager_snapshot.json"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers_of(cluster)[0].send_signal(signal.SIGKILL)
    out, _ = job.communicate(timeout=400)
    assert job.returncode == 1, out
    cut = place.read_text(ray_train_snapshot.NAME)[:100]  # as a kill leaves it that comes while Ray writes it
    place.write_text(ray_train_snapshot.NAME, cut)
    said = trained(cut, collection, cluster, student, precision="fp32", workers=1, zero_stage=ZERO_STAGE)
    assert "was cut off as it was written; it is written anew, up to the checkpoint of step" in said
    assert "went on after step" in said
    expected, found, before = weights_of(whole), weights_of(cut), load_file(base / "model.safetensors")
    names = [name for name in before if name.startswith("encoder.layer.") and name.endswith(".weight")]
    assert len(names) > 20
    for name in names:
        moved = (expected[f"bert.{name}"] - before[name]).abs().mean()
        assert moved > 0
        assert (expected[f"bert.{name}"] - found[f"bert.{name}"]).abs().mean() < 0.02 * moved, name


def without_dropout(folder):
    """Three of the embedded encoder's six layers, saved so that they drop nothing."""
    changed = {"num_hidden_layers": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = AutoModel.from_pretrained(model_path("minilm"), **changed)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("minilm")).save_pretrained(folder)
    return folder


def test_a_decoder_learns_to_rank_with_labels_and_reasons_whole_or_by_adapters_in_zero_3_with_offload(
    labelled, collection, cluster, tmp_path
):
    folder = copied(labelled, tmp_path)
    base = tiny_generator(tmp_path / "base")
    whole = {"name": "gpt", "kind": "rra_gpt", "base": str(base), "max_length": 160}
    adapted = {**whole, "name": "adapted", "lora": {"rank": 4, "dropout": 0.0}}
    more = {"workers": 2, "zero_stage": 3, "offload": True, "learning_rate": 1e-3, "freeze_embeddings": False}
    trained(folder, collection, cluster, [whole, adapted], precision="fp32", **more)
    before = load_file(base / "model.safetensors")
    for student in (whole, adapted):
        assert len(scores_of(folder, student["name"])) > 1
        after = weights_of(folder, student["name"])
        assert set(after) - set(before) == {"score.weight"}
        moved = {name for name in set(after) & set(before) if not after[name].equal(before[name])}
        linear = {name for name in after if ".layers." in name and "_proj" in name}
        assert linear <= moved
        assert student is whole or moved == linear


def scores_of(folder, name):
    """The distinct scores of the questions with one fact."""
    scores = Scorer(f"{folder.path}/students/{name}/model").score([(query, FACTS[0][1]) for _, query, _ in QUESTIONS])
    return {round(score, 4) for score in scores}


def test_a_loss_that_is_no_number_ends_in_a_line_and_keeps_the_last_checkpoint(collection, cluster, tmp_path):
    folder = Folder(tmp_path) / "made"
    _, learned = divided([label_of(number).query_id for number in range(24)], FRACTION, SEED)
    wrong = order_of(learned, TrainingSettings().seed, 0)[
        len(learned) // 4 * 4 - 1
    ]  # in the last step of the first epoch
    labels = [label_of(number).model_copy(update={"provenance": SCORED}) for number in range(24)]
    for label in labels:
        if label.query_id == wrong:
            label.candidates[0].target = math.nan
    (folder / "labels").write_rows("part-0.parquet", labels)
    done = ran(command(folder, collection, BERT, precision="fp32", max_restarts=0, checkpoint_every=1), cluster, 400)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert (
        f"the loss is no number at step {len(learned) // 4}, in the list of the query {wrong}; the last good checkpoint"
        in line
    )
    kept = weights_kept(folder)
    assert kept
    assert all(weights.isfinite().all() for weights in kept)
    assert not (folder / "students" / "bert" / "model").exists()


def test_a_step_that_leads_to_no_numbers_is_not_saved(labelled, collection, cluster, tmp_path):
    folder = copied(labelled, tmp_path)
    call = command(
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
    done = ran(call, cluster, 400)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "the scores are no numbers after step 1, in the list of the query q" in line
    assert weights_kept(folder) == []
    assert not (folder / "students" / "bert" / "model").exists()


def test_where_nothing_gets_better_it_ends_early_with_the_first_of_the_best_and_unrounded_weights(
    labelled, collection, cluster, tmp_path
):
    folder = copied(labelled, tmp_path)
    # too small a step to change a weight in bf16, though not in the float32 that the optimizer holds
    said = trained(
        folder, collection, cluster, BERT, precision="bf16", zero_stage=0, learning_rate=1e-7, patience=1, epochs=4
    )
    assert "model of step 2 in" in said
    curves = json.loads((folder / "students" / "bert").read_text("curves.json"))
    assert [step for step, _ in curves["validation nDCG@10"]] == [2, 4]
    assert len(curves["loss"]) == 4
    learned = {
        name: value for name, value in weights_of(folder).items() if ".layer." in name and name.endswith("weight")
    }
    assert len(learned) > 20
    assert all((value != value.bfloat16().float()).any() for value in learned.values())


def test_where_training_does_not_improve_the_base_the_base_is_exported(labelled, collection, cluster, tmp_path):
    folder = copied(labelled, tmp_path)
    student = {"name": "bert", "kind": "rra_bert", "base": "minilm-cross", "max_length": 32}
    # too small a step to change any weight
    said = trained(
        folder, collection, cluster, student, precision="fp32", learning_rate=1e-30, weight_decay=0.0, epochs=1
    )
    assert "; training did not improve the base, which is exported, model of step 0 in" in said
    curves = json.loads((folder / "students" / "bert").read_text("curves.json"))
    assert [step for step, _ in curves["validation nDCG@10"]] == [0, 2, 4]
    assert "| optimizer steps | 0 |" in Folder(f"{folder.uri}/students/bert/model").read_text("README.md")
    pairs = [(query, FACTS[0][1]) for _, query, _ in QUESTIONS]
    base = ClassifierScorer(model_path("minilm-cross"), 32, "fp32").score(pairs)
    assert Scorer(f"{folder.path}/students/bert/model", "fp32", "torch").score(pairs) == pytest.approx(base, abs=1e-4)


def test_labels_of_other_settings_or_not_finished_are_not_learned_from(labelled, collection, cluster, tmp_path):
    folder = copied(labelled, tmp_path)
    call = command(folder, collection, BERT)
    done = ran([*call, "--pre_ranker.top", "5"], cluster, 100)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith("made/labels: the labels of these settings are not made, or not all; run ray_jobs.label first")


def labels_of(folder):
    return manifest_of(folder / "labels")


def weights_kept(folder):
    """All that the last checkpoint holds."""
    found = Path(folder.path, "students", "bert", "checkpoints").glob("checkpoint_*/student/mp_rank_00_model_states.pt")
    return [weights for path in found for weights in torch.load(path, weights_only=False)["module"].values()]
