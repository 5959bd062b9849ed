"""Quantization in a training job: the validation lists, the report, and the fingerprint of the student."""

from types import SimpleNamespace

import pytest

from ranking.records import Candidate, CandidateList
from ranking.storage.folder import Folder
from ray_jobs.common.run import open_run
from ray_jobs.training import quantization_fitting
from students import student_config
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tests.testing.quantization_results import quantization
from tests.testing.synthetic_labels import label_of


@pytest.fixture
def validation(tmp_path):
    """Two validation queries with three documents each, of which only the first has a label."""
    model = Folder(tmp_path / "model")
    model.write_text(student_config.NAME, "{}")
    label = label_of(["d2", "d1"], documents=3)
    candidates = [
        Candidate(doc_id=f"d{n}", title=f"t{n}", text=f"text {n}", rank=n, score=0.0, retriever="labels")
        for n in (1, 2, 3)
    ]
    rows = [CandidateList(query_id=query_id, text=f"query {query_id}", candidates=candidates) for query_id in "ab"]
    return SimpleNamespace(model=model, trained_labels={"a": label}, shown=lambda: rows, label=label)


def run_with(quantize, lines):
    return SimpleNamespace(
        settings=SimpleNamespace(training=TrainingSettings(quantize=quantize)),
        progress=SimpleNamespace(stage=lambda name, text: lines.append(f"{name}: {text}")),
    )


def test_lists_have_the_targets_of_labelled_queries(validation):
    (row,) = quantization_fitting.judged_lists(validation)
    targets = {c.doc_id: c.target for c in validation.label.candidates}
    assert (row.query_id, row.query, row.documents[0]) == ("a", "query a", ("t1", "text 1"))
    assert row.targets == [targets["d1"], targets["d2"], targets["d3"]]
    assert row.targets[1] > row.targets[0] > row.targets[2]


@pytest.mark.parametrize(("accepted", "word"), [(True, "accepted"), (False, "rejected")])
def test_result_is_reported_in_one_line(validation, monkeypatch, accepted, word):
    lines, result = [], quantization(accepted=accepted)
    monkeypatch.setattr(quantization_fitting, "_export", lambda model, lists: result)
    quantization_fitting.quantize_student(run_with("int8", lines), RraBertSettings(), validation)
    assert lines == [f"quantization: rra-bert: int8 is {word}: {result.numbers}"]


def test_reason_is_reported_and_written_to_the_config(validation, monkeypatch):
    lines = []
    monkeypatch.setattr(quantization_fitting, "_export", lambda model, lists: "no VNNI")
    quantization_fitting.quantize_student(run_with("int8", lines), RraBertSettings(), validation)
    assert lines == ["quantization: rra-bert is not quantized: no VNNI"]
    assert student_config.read(validation.model) == {"quantization_note": "no VNNI"}
    assert quantization_fitting.quantization_of(validation.model) is None


def test_none_does_nothing(validation, monkeypatch):
    monkeypatch.setattr(quantization_fitting, "_export", lambda *_: pytest.fail("quantized"))
    quantization_fitting.quantize_student(run_with("none", []), RraBertSettings(), validation)
    assert student_config.read(validation.model) == {}


def test_only_int8_changes_the_fingerprint_of_a_student(tmp_path):
    def settings_of(*options):
        run = open_run(["configs/quickstart.yaml", "--storage", str(tmp_path / "runs"), *options])
        (student,) = run.settings.students
        return run.plan.student(student).fingerprint

    assert settings_of() == settings_of("--training.quantize", "none")
    assert settings_of() != settings_of("--training.quantize", "int8")
