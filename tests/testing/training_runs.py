"""Training runs on 24 labels made from the facts."""

import json
import random
import sys

from safetensors.torch import load_file

from ranking.labels.targets import tiers_from_order
from ranking.records import Answer, Candidate, Label, Provenance, Usage
from ranking.storage.folder import Folder
from ray_jobs.common.run import open_run
from students.scoring import Scorer
from tests.testing.facts import FACTS, QUESTIONS
from tests.testing.programs import run_program

PROVENANCE = Provenance(teacher="made", fingerprint="made", engine="recorded", targets="tiers")
BERT = {"name": "bert", "kind": "rra_bert", "base": "minilm", "max_length": 32, "term_control": {"form": "layer"}}
VALIDATION_FRACTION = 0.17


def fact_label(number):
    """Return a label for a question with four facts as candidates. The teacher listed two, the answer first."""
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


def copy_labels(labelled, storage):
    """Copy the run of the fixture `labelled` to another storage folder, and return the copy's folder."""
    (Folder(labelled) / "made").copy_to(Folder(storage) / "made")
    return Folder(storage) / "made"


def training_command(folder, collection, student, **training):
    """Mark the run's labels as finished, and return the command that trains one or several students on them.

    Args:
        folder: Folder of the run.
        collection: BEIR folder.
        student: Settings of one student, or a list of them.
        **training: Settings of `training`.
    """
    settings = {
        "queries_per_step": 4,
        "epochs": 2,
        "validation_fraction": VALIDATION_FRACTION,
        "workers": 1,
        "checkpoint_every": 2,
        "freeze_embeddings": True,
        **training,
    }
    storage, students = folder.uri.rsplit("/", 1)[0], student if isinstance(student, list) else [student]
    overrides = {
        "run": "made",
        "storage": storage,
        "collection.source": f"beir:{collection}",
        "students": json.dumps(students),
    }
    overrides |= {f"training.{name}": json.dumps(value) for name, value in settings.items()}
    arguments = ["configs/collection.yaml", *(part for k, v in overrides.items() for part in (f"--{k}", v))]
    # the fingerprint of the labels must match these settings
    open_run(arguments).plan.labels.finish(rows_in=24, rows_out=24)
    return [sys.executable, "-m", "ray_jobs.train", *arguments]


def distinct_scores(folder, name):
    """Score the first fact for each question with a trained student, and return the distinct scores."""
    scores = Scorer(f"{folder.path}/students/{name}/model").score([(query, FACTS[0][1]) for _, query, _ in QUESTIONS])
    return {round(score, 4) for score in scores}


def train(folder, collection, cluster, student, **training):
    """Train students to the end and return the output of the job."""
    command = training_command(folder, collection, student, **training)
    done = run_program(command, cluster, 400)
    trace = folder / "logs"
    assert done.returncode == 0, (
        done.stdout + done.stderr + (trace.read_text("trace.txt") if trace.exists("trace.txt") else "")
    )
    return done.stdout


def weights_of(folder, name="bert"):
    """Return the weights of a trained student."""
    return load_file(f"{folder.path}/students/{name}/model/model.safetensors")
