"""A student with fewer layers is trained after the student that it is distilled from, on its scores of the labels."""

import pytest

from actors.training.label_batches import LabelReader
from ranking.records import ScoredList, content
from ranking.runs.stages import manifest_of
from students.scoring import Scorer
from tests.testing.programs import run_program
from tests.testing.training_runs import copy_labels, training_command

pytestmark = pytest.mark.timeout(600)

LARGE = {"name": "large", "kind": "rra_bert", "base": "minilm-cross", "max_length": 32}


def small(**distillation):
    return {**LARGE, "name": "small", "layers": 2, "distillation": {"student": "large", **distillation}}


def train(folder, collection, cluster, *students):
    """Train students for one epoch and return the output of the job."""
    done = run_program(training_command(folder, collection, list(students), epochs=1), cluster, 400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_small_student_is_distilled_from_the_scores_of_the_large_one(labelled, collection, cluster, tmp_path):
    folder = copy_labels(labelled, tmp_path)
    output = train(folder, collection, cluster, small(), LARGE)
    assert output.index("students/large") < output.index("scores/large") < output.index("students/small")
    config = (folder / "students" / "small" / "model").read_json("config.json")
    assert config["num_hidden_layers"] == 2
    scores = folder / "scores" / "large"
    assert manifest_of(scores).rows_out == 24
    row = next(iter(scores.read_rows(ScoredList)))
    (label,) = LabelReader(folder / "labels").read([row.query_id])
    pairs = [(label.query, content(c.title, c.text)) for c in label.candidates]
    assert row.doc_ids == [c.doc_id for c in label.candidates]
    model = Scorer(f"{folder.path}/students/large/model")
    assert row.scores == pytest.approx(model.score(pairs), abs=0.02)
    written = manifest_of(scores).to_json()
    # another loss trains only the small student again, on the same scores
    output = train(folder, collection, cluster, small(loss="margin_mse"), LARGE)
    skipped = [line for line in output.splitlines() if "unchanged, skipped" in line]
    assert any("students/large" in line for line in skipped)
    assert any("scores/large" in line for line in skipped)
    assert manifest_of(scores).to_json() == written
    settings = manifest_of(folder / "students" / "small").settings["student"]
    assert settings["distillation"]["loss"] == "margin_mse"
