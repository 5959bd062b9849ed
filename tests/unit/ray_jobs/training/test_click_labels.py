"""Clicks of labelled queries, and training targets that are mixed with them."""

import pytest
from pydantic import ValidationError

from actors.serving.experiment.signing import load_secret
from actors.training.label_batches import LabelBatches, LabelReader
from ranking.ab_test.exposure_records import SERVING
from ranking.clicks.click_mixing import ListClicks
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.records import DocumentClicks, QueryClicks
from ray_jobs.common.run import open_run
from ray_jobs.training.click_labels import clicks_of_labels
from ray_jobs.training.preparation import TrainingData
from ray_jobs.training.validation_scores import ValidationScores
from students import kinds
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tests.testing.synthetic_labels import label_of

QUERIES = {"q0": "Which metal?", "q1": "Which  WOOD", "q2": "which stone", "q3": "which paper"}
IDS = list(QUERIES)


def clicks_of(query, exposures, **relevance):
    documents = [
        DocumentClicks(doc_id=doc_id, relevance=rate, shown=100, clicks=9, examined=50.0)
        for doc_id, rate in relevance.items()
    ]
    return QueryClicks(query=query, exposures=exposures, documents=documents)


@pytest.fixture
def run(tmp_path):
    """A run with four labels, which is trained with clicks."""
    (tmp_path / "run.yaml").write_text("run: x\n")
    clicks = '{"weight": 0.8, "k": 100}'
    made = open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), "--training.clicks", clicks])
    labels = [
        label_of(["d1", "d2", "d3"]).model_copy(update={"query_id": query_id, "query": text})
        for query_id, text in QUERIES.items()
    ]
    (made.folder / "labels").write_rows("part-1.parquet", labels)
    return made


def estimates(run, *rows):
    (run.folder / "clicks").write_rows("part-1.parquet", rows)
    run.plan.clicks.finish(rows_in=len(rows), rows_out=len(rows))


def test_queries_are_found_by_text_or_hash(run):
    secret = load_secret(run.storage / SERVING)
    estimates(
        run,
        clicks_of("which metal", 100, d1=0.1, d2=0.3),
        clicks_of(secret.hash_of("Which  WOOD"), 300, d1=0.2),
        clicks_of(secret.hash_of("which wood"), 20, d1=0.7),
        clicks_of(secret.hash_of("which stone"), 0),
        clicks_of("another", 900, d1=0.2),
    )
    with run.progress.console.capture() as printed:
        found = clicks_of_labels(run, run.folder / "labels", IDS)
    assert found == {
        "q0": ListClicks(pytest.approx(0.4), {"d1": 0.1, "d2": 0.3}),
        "q1": ListClicks(pytest.approx(0.6), {"d1": 0.2}),
        "q2": ListClicks(0.0, {}),
    }
    assert "mixed into the targets of 1 of 4 labelled queries with a mean weight of 0.400" in printed.get()
    assert set(clicks_of_labels(run, run.folder / "labels", ["q1"])) == {"q1"}


def test_estimates_of_other_queries_only_are_an_error(run):
    with pytest.raises(InputError, match=r"no estimates in .*; run ray_jobs\.clicks first"):
        clicks_of_labels(run, run.folder / "labels", IDS)
    estimates(run, clicks_of("another", 900, d1=0.2))
    with pytest.raises(InputError, match="none of the 4 labelled queries is among the recorded queries"):
        clicks_of_labels(run, run.folder / "labels", IDS)


def test_clicks_are_off_by_default(tmp_path):
    (tmp_path / "run.yaml").write_text("run: x\n")
    made = open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path)])
    assert clicks_of_labels(made, made.folder / "labels", IDS) is None


def test_batches_have_mixed_targets(run):
    settings = RraBertSettings(base="minilm", max_length=32)
    tokens = kinds.TrainingReader(settings, kinds.tokenizer_of(settings, model_path("minilm")))
    reader = LabelReader(run.folder / "labels")
    teacher = LabelBatches(reader, TrainingSettings(), tokens).batch(["q0", "q1"], None)
    clicks = {"q0": ListClicks(0.5, {"d1": 0.1, "d2": 0.2, "d3": 0.3})}
    mixed = LabelBatches(reader, TrainingSettings(), tokens, None, clicks).batch(["q0", "q1"], None)
    assert teacher.targets[0, :3].tolist() == [4.0, 3.0, 2.0]
    assert mixed.targets[0, :3].tolist() == pytest.approx([3.0, 3.0, 3.0])
    assert mixed.targets[0, 3:].tolist() == teacher.targets[0, 3:].tolist()
    assert mixed.targets[1].tolist() == teacher.targets[1].tolist()


def test_validation_has_the_targets_of_training(run):
    clicks = {"q0": ListClicks(1.0, {"d1": 0.1, "d2": 0.3})}
    labels = run.plan.labels
    data = TrainingData(labels, None, [], ["q0", "q1"], None, label_of(["d1"]).provenance, 4, 0, clicks)
    found = ValidationScores(run, RraBertSettings(), run.folder, data).trained_labels
    assert [c.target for c in found["q0"].candidates][:3] == pytest.approx([3.0, 4.0, 2.0])
    assert [c.target for c in found["q1"].candidates][:3] == [4.0, 3.0, 2.0]


def test_clicks_and_judgements_exclude_each_other():
    with pytest.raises(ValidationError, match="clicks are mixed with a teacher's labels; remove clicks"):
        TrainingSettings(clicks={}, targets="judgements")
