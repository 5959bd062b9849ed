"""Training labels: selection by confidence, judgements as targets, rationales, and labels of other runs."""

import json

import pyarrow as pa
import pytest
import torch

from actors.training.label_batches import LabelBatches, LabelReader
from ranking.errors import InputError
from ranking.labels.confidence import confident
from ranking.model_paths import model_path
from ranking.records import Rationale, RationaleList, Usage
from ranking.runs.stages import manifest_of
from ray_jobs import train
from ray_jobs.common.run import open_run
from ray_jobs.training import label_merging, training_labels
from students import kinds
from students.losses import LOSSES
from students.objective import Objective
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tests.testing.synthetic_labels import label_of


class RationaleStudentSettings(RraBertSettings):
    """A student that learns from rationales."""

    learns_from_rationales = True


def labels(*confidences):
    return [
        label_of(["d1"]).model_copy(update={"query_id": f"q{n}", "confidence": confidence})
        for n, confidence in enumerate(confidences)
    ]


@pytest.fixture
def run(tmp_path):
    def opened(*overrides):
        (tmp_path / "run.yaml").write_text("run: x\n")
        made = open_run(
            [str(tmp_path / "run.yaml"), "--storage", str(tmp_path), "--rationales.kind", "extractive", *overrides]
        )
        if not (made.folder / "labels").exists():
            (made.folder / "labels").write_rows("part-1.parquet", labels(0.9, 0.4, None))
        return made

    return opened


def test_low_confidence_is_dropped_and_missing_confidence_is_kept():
    assert confident({"q0": 0.9, "q1": 0.4, "q2": None, "q3": 0.5}, 0.5) == ["q0", "q2", "q3"]
    assert confident({"q0": 0.0}, 0.0)
    assert confident({}, 0.5) == []


def test_error_names_the_highest_confidence_if_no_label_remains():
    with pytest.raises(InputError) as error:
        confident({"q0": 0.81, "q1": 0.4}, 0.95)
    assert str(error.value) == (
        "setting 'training.confidence.min_confidence': none of the 2 labels has a confidence of 0.95 or more; "
        "the highest is 0.810"
    )


QRELS_HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def judged(tmp_path):
    """Write a BEIR folder with judgements for the first two log queries, which are labelled in `run`."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("".join(f'{{"_id": "d{n}", "text": "text {n}"}}\n' for n in range(1, 6)))
    (folder / "queries.jsonl").write_text("".join(f'{{"_id": "q{n}", "text": "query {n}"}}\n' for n in range(4)))
    (folder / "qrels" / "test.tsv").write_text(f"{QRELS_HEADER}q3\td1\t1\n")
    (folder / "qrels" / "train.tsv").write_text(f"{QRELS_HEADER}q0\td2\t2\nq0\td1\t1\nq1\td3\t1\n")
    return folder


def test_judgements_become_targets_of_the_labelled_candidates(run, judged):
    made = run("--collection.source", f"beir:{judged}", "--training.relevant_grade", "2")
    grades = training_labels.judgements(made, ["q0", "q1", "q2"])
    assert grades == {"q0": {"d2": 2, "d1": 1}}
    assert training_labels.judgement_provenance(made.collection).targets == "grades"
    training = TrainingSettings(targets="judgements", relevant_grade=1)
    tokenizer = kinds.tokenizer_of(RraBertSettings(), model_path("minilm"))
    batch = LabelBatches(
        LabelReader(made.folder / "labels"), training, kinds.TrainingReader(RraBertSettings(), tokenizer), grades
    ).batch(["q0"], 0)
    documents = [candidate.doc_id for candidate in label_of(["d1"]).candidates]
    assert batch.targets.tolist() == [[float(grades["q0"].get(doc_id, 0)) for doc_id in documents]]
    assert batch.targets.max() == 2.0
    sampled = LabelBatches(
        LabelReader(made.folder / "labels"),
        training.model_copy(update={"candidates_per_list": 2}),
        kinds.TrainingReader(RraBertSettings(), tokenizer),
        {"q0": {"d1": 1}},
    )
    drawn = [sampled.batch(["q0"], epoch) for epoch in range(8)]
    assert [one.targets.shape for one in drawn] == [(1, 2)] * 8
    assert [one.targets.max().item() for one in drawn] == [1.0] * 8
    assert len({tuple(one.pairs) for one in drawn}) > 1


def test_missing_judgements_are_reported(run, judged):
    (judged / "qrels" / "train.tsv").unlink()
    with pytest.raises(
        InputError, match=r"judged has no judgements of grade 1 or more for the labelled queries; use labels"
    ):
        training_labels.judgements(run("--collection.source", f"beir:{judged}"), ["q0"])


def test_error_names_both_settings_if_labels_are_too_few_for_a_step(run):
    made = run(
        "--training.confidence.min_confidence",
        "0.5",
        "--training.queries_per_step",
        "4",
        "--training.validation_fraction",
        "0",
    )
    made.plan.labels.finish(rows_in=3, rows_out=3)
    with pytest.raises(
        InputError,
        match=r"2 training labels are too few for one step of 4 queries; lower training.queries_per_step or train",
    ):
        train.train(made, RraBertSettings())


def test_only_finished_labels_of_the_same_settings_are_used(run):
    made, other = run(), run("--pre_ranker.top", "5")
    with pytest.raises(InputError, match=r"labelling with these settings is not finished; run ray_jobs\.label first"):
        training_labels.require_labels(made)
    stage = made.plan.labels
    stage.finish(rows_in=3, rows_out=3)
    assert training_labels.require_labels(made).fingerprint == stage.fingerprint
    with pytest.raises(InputError, match="labelling with these settings is not finished"):
        training_labels.require_labels(other)
    other.plan.labels.begin()  # moves the labels of the run `made` aside
    assert training_labels.require_labels(made).folder.read_column("query_id") == ["q0", "q1", "q2"]


def test_external_rationales_must_belong_to_the_external_labels(run, tmp_path):
    made = run()
    labelled, rationales = made.plan.labels, made.plan.rationales
    labelled.finish(rows_in=3, rows_out=3)
    rationales.finish(rows_in=3, rows_out=3)
    external = ("--run", "y", "--training.labels", str(tmp_path / "x"))
    assert run(*external).plan.rationales_for_training.fingerprint == rationales.fingerprint
    run("--pre_ranker.top", "5").plan.labels.begin()
    run("--pre_ranker.top", "5").plan.labels.finish(rows_in=3, rows_out=3)
    with pytest.raises(
        InputError, match=r"x/rationales do not belong to the labels beside them; run ray_jobs.rationales"
    ):
        _ = run(*external).plan.rationales_for_training


def test_labels_without_any_preference_are_rejected(run):
    folder = run().folder / "labels"  # each answer lists one document
    training_labels.check_ordered(folder, TrainingSettings())
    with pytest.raises(
        InputError,
        match=r"nothing to learn; with training.missing drop and training.max_pre_rank None, no label prefers",
    ):
        training_labels.check_ordered(folder, TrainingSettings(missing="drop"))
    folder.write_rows("part-2.parquet", [label_of(["d1", "d2"])])
    training_labels.check_ordered(folder, TrainingSettings(missing="drop"))
    with pytest.raises(InputError, match="nothing to learn"):
        training_labels.check_ordered(folder, TrainingSettings(max_pre_rank=1))


def test_label_is_read_from_its_row_group_and_an_invalid_one_is_named(run):
    made = run()
    folder = made.folder / "labels"
    long = [label_of(["d1"]).model_copy(update={"query_id": f"q{n}", "query": "x" * 9000}) for n in range(300)]
    folder.write_rows("part-1.parquet", long)
    groups = folder.rows_by_group("part-1.parquet")
    assert sum(groups) == 300
    assert len(groups) > 2
    reader = LabelReader(folder)
    assert [label.query_id for label in reader.read(["q299", "q0", "q150"])] == ["q299", "q0", "q150"]
    assert reader._labels._group.cache_info().misses == 3
    table = folder.read_table("part-1.parquet")
    folder.write_table("part-1.parquet", table.set_column(1, "query", pa.array([None] * 300, pa.string())))
    with pytest.raises(
        InputError,
        match=r"labels/part-1.parquet: query q7: written by another version \(query: input should be a valid string\)",
    ):
        LabelReader(folder).read(["q7"])


def test_only_students_that_learn_from_rationales_get_them(run):
    made = run()
    stage = made.plan.rationales
    stage.begin()
    rows = [
        RationaleList(
            query_id=f"q{n}",
            rationales=[Rationale(doc_id="d1", relevant=True, status="ok", text=f"For {n}.")],
            writer="extractive",
            usage=Usage(),
        )
        for n in range(3)
    ]
    stage.folder.write_rows("part-1.parquet", rows)
    with pytest.raises(InputError, match=r"not finished; run ray_jobs\.rationales first"):
        training_labels.require_rationales(made, RationaleStudentSettings())
    stage.finish(rows_in=3, rows_out=3)
    read = LabelReader(
        made.folder / "labels", training_labels.require_rationales(made, RationaleStudentSettings())
    ).read(["q2", "q0", "q1"])
    assert [label.candidates[0].rationale for label in read] == ["For 2.", "For 0.", "For 1."]
    assert all(candidate.rationale is None for label in read for candidate in label.candidates[1:])
    assert training_labels.require_rationales(made, RraBertSettings()) is None
    with pytest.raises(InputError, match="the rationales of these settings are not finished"):
        training_labels.require_rationales(
            run("--rationales", '{"kind": "llm", "model": "m"}'), RationaleStudentSettings()
        )


def batches_of(made, grades=None, **settings):
    tokenizer = kinds.tokenizer_of(RraBertSettings(), model_path("minilm"))
    return LabelBatches(
        LabelReader(made.folder / "labels"),
        TrainingSettings(**settings),
        kinds.TrainingReader(RraBertSettings(), tokenizer),
        grades,
    )


def test_list_without_targets_keeps_one_document_and_adds_no_loss(run, tmp_path):
    made = run()
    (made.folder / "labels").write_rows(
        "part-1.parquet", [label_of([]).model_copy(update={"query_id": "q0"}), *labels(1.0, 1.0)[1:]]
    )
    batch = batches_of(made, missing="drop").batch(["q0", "q1"], 0)
    assert batch.mask.sum(dim=1).tolist() == [1, 1]
    for loss in LOSSES:
        objective = Objective(RraBertSettings(), TrainingSettings(loss=loss), "tiers")
        assert objective(torch.tensor([3.0, 1.0]), batch).item() == pytest.approx(0.0, abs=1e-6), loss


def test_rationale_is_used_only_if_judgement_and_teacher_agree(run):
    made = run()
    label = label_of(["d1"]).model_copy(update={"query_id": "q0"})
    explained = label.model_copy(
        update={"candidates": [c.model_copy(update={"rationale": f"About {c.doc_id}."}) for c in label.candidates]}
    )
    grades = {"q0": {"d1": 1, "d2": 1}}
    candidates, auxiliary = batches_of(made, grades, targets="judgements")._select(explained, 0)
    rationales = {c.doc_id: (one.relevant, one.rationale) for c, one in zip(candidates, auxiliary, strict=True)}
    assert rationales["d1"] == (True, "About d1.")
    assert rationales["d2"] == (True, None)  # the teacher did not list it
    assert rationales["d3"] == (False, "About d3.")


def test_external_labels_of_test_questions_are_dropped(run, judged):
    made = run("--collection.source", f"beir:{judged}")
    questions = [("q0", "Query 3!"), ("q1", "another one"), ("q2", "how to query 3")]
    rows = [label_of(["d1"]).model_copy(update={"query_id": query_id, "query": text}) for query_id, text in questions]
    (made.folder / "labels").write_rows("part-1.parquet", rows)
    assert training_labels.drop_test_questions(made, made.folder / "labels", ["q0", "q1", "q2"]) == ["q1"]
    assert training_labels.drop_test_questions(made, made.folder / "labels", ["q1"]) == ["q1"]


def test_labels_of_several_runs_are_merged(run, tmp_path):
    for name, ids in (("x", ["q0", "q1", "q2"]), ("y", ["p0", "p1"])):
        made = run("--run", name)
        rows = [label_of(["d1"]).model_copy(update={"query_id": query_id}) for query_id in ids]
        (made.folder / "labels").delete()
        (made.folder / "labels").write_rows("part-0.parquet", rows)
        made.plan.labels.finish(rows_in=len(ids), rows_out=len(ids))
    merged = run("--run", "z", "--training.labels", json.dumps([str(tmp_path / "x"), str(tmp_path / "y")]))
    label_merging.merge_labels(merged)
    labels_input = training_labels.require_labels(merged)
    assert sorted(labels_input.folder.read_column("query_id")) == ["p0", "p1", "q0", "q1", "q2"]
    manifest = manifest_of(labels_input.folder)
    assert (manifest.fingerprint, manifest.rows_out) == (labels_input.fingerprint, 5)
    one = run("--run", "z", "--training.labels", str(tmp_path / "x"))
    assert training_labels.require_labels(one).fingerprint != labels_input.fingerprint
    twice = run("--run", "w", "--training.labels", json.dumps([str(tmp_path / "x"), str(tmp_path / "x")]))
    with pytest.raises(InputError, match=r"query 'q0' is labelled in .*/x and in .*/x; query ids must be distinct"):
        label_merging.merge_labels(twice)
