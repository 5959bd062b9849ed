"""Calibration in a training job: source of relevance, refusals, and one pass of scoring for blend and calibration."""

from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from ranking.calibration.calibrated_scores import CalibrationError, QueryScores, fit_calibration
from ranking.calibration.platt_scaling import sigmoid
from ranking.passage_settings import PassageSettings
from ranking.records import Document
from ranking.storage.folder import Folder
from ray_jobs.training import calibration_fitting, validation_scores
from ray_jobs.training.validation_scores import ValidationScores
from students import student_config
from students.student_settings import RraBertSettings, RraGptSettings
from students.training_settings import TrainingSettings
from tests.testing.calibration import calibration
from tests.testing.synthetic_labels import label_of

DOCUMENTS = [f"d{n}" for n in range(1, 9)]
WHOLE = Document(doc_id="d1", title="", text="the whole document")


def labelled(query_id):
    """Return a label of eight documents, of which the teacher listed d1 to d3, and of d9, which it was not shown."""
    label = label_of(DOCUMENTS[:3], documents=9, missing=5)
    unseen = label.candidates[8].model_copy(update={"tier": "unseen", "target": 0.0})
    return label.model_copy(update={"query_id": query_id, "candidates": [*label.candidates[:8], unseen]})


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return a function that makes a run and the validation scores of six labelled queries."""
    calls, texts = [], {}

    def score(run, model, name, lists):
        calls.append(sorted(row.query_id for row in lists))
        texts.update({c.doc_id: c.text for row in lists for c in row.candidates})
        rng = np.random.default_rng(5)
        return {row.query_id: {c.doc_id: -c.rank + rng.normal() for c in row.candidates} for row in lists}

    monkeypatch.setattr(validation_scores, "score_lists", score)
    (Folder(tmp_path) / "labels").write_rows("part-0.parquet", [labelled(f"q{n}") for n in range(8)])

    def made(calibrate="auto", qrels=None, grades=None, labels=(), passages=None, **training):
        settings = TrainingSettings(calibrate=calibrate, labels=list(labels), **training)
        lines = []
        run = SimpleNamespace(
            settings=SimpleNamespace(training=settings, passages=passages),
            collection=SimpleNamespace(log_qrels=qrels or {}, documents=[WHOLE]),
            progress=SimpleNamespace(stage=lambda name, text: lines.append(f"{name}: {text}")),
            lines=lines,
        )
        model = Folder(tmp_path) / "model"
        model.write_text(student_config.NAME, "{}")
        data = SimpleNamespace(
            validation_ids=[f"q{n}" for n in range(6)],
            labels=SimpleNamespace(folder=Folder(tmp_path) / "labels"),
            grades=grades,
            clicks=None,
        )
        return run, ValidationScores(run, RraBertSettings(), model, data)

    made.calls, made.texts = calls, texts
    return made


def test_validation_documents_are_scored_once_without_unseen_ones(make):
    _, validation = make()
    assert set(validation.labels) == {f"q{n}" for n in range(6)}
    assert all(list(scores) == DOCUMENTS for scores in validation.scores.values())
    assert validation.scores is validation.scores
    assert make.calls == [[f"q{n}" for n in range(6)]]


def test_students_of_passages_score_whole_documents(make):
    _, validation = make()
    assert validation.scores
    assert make.texts[WHOLE.doc_id] != WHOLE.text
    _, validation = make(passages=PassageSettings())
    assert validation.scores
    assert make.texts[WHOLE.doc_id] == WHOLE.text


def test_teacher_is_the_source_without_judgements(make):
    run, validation = make()
    fitted = calibration_fitting._fit(run, validation, "auto")
    rows = [
        QueryScores(q, [scores[d] for d in DOCUMENTS], [n < 3 for n in range(8)])
        for q, scores in validation.scores.items()
    ]
    assert fitted == fit_calibration(rows, "teacher")
    assert (fitted.source, fitted.relevant_grade, fitted.relevant, fitted.pairs) == ("teacher", None, 18, 48)


GRADES = {f"q{n}": {"d1": 2, "d2": 2, "d3": 1, "d4": 0} for n in range(5)}


def test_judgements_are_preferred_and_use_the_relevant_grade(make):
    run, validation = make(qrels=GRADES, relevant_grade=2)
    fitted = calibration_fitting._fit(run, validation, "auto")
    # five of the six queries are judged; two of their eight documents have grade 2
    assert (fitted.source, fitted.relevant_grade) == ("judgements", 2)
    assert (fitted.queries, fitted.relevant, fitted.pairs) == (5, 10, 40)
    assert calibration_fitting._fit(run, validation, "teacher").source == "teacher"


def test_auto_falls_back_to_the_teacher_if_judgements_are_too_few(make):
    run, validation = make(qrels={"q0": GRADES["q0"]})
    assert calibration_fitting._fit(run, validation, "auto").source == "teacher"
    with pytest.raises(CalibrationError, match="have 3 relevant and 5 other documents"):
        calibration_fitting._fit(run, validation, "judgements")


def test_judgements_do_not_apply_to_labels_of_other_runs(make):
    run, validation = make(qrels=GRADES, labels=["runs/other"])
    assert calibration_fitting._fit(run, validation, "auto").source == "teacher"
    with pytest.raises(ValidationError, match=r"use calibrate: teacher, or remove training\.labels"):
        TrainingSettings(calibrate="judgements", labels=["runs/other"])


def test_blend_uses_the_targets_that_the_student_was_trained_on(make):
    _, validation = make(grades={"q1": {"d5": 1}})
    assert set(validation.trained_labels) == {"q1"}
    assert [c.doc_id for c in validation.trained_labels["q1"].candidates if c.target] == ["d5"]
    _, validation = make()
    assert validation.trained_labels == validation.labels


def test_fitted_calibration_is_folded_and_reported(make, monkeypatch):
    folded = []
    monkeypatch.setattr(calibration_fitting, "_fold", lambda model, one: folded.append(one))
    run, validation = make()
    calibration_fitting.calibrate_student(run, RraBertSettings(), validation)
    (one,) = folded
    assert one == calibration_fitting._fit(run, validation, "auto")
    assert run.lines == [
        "calibration: rra-bert: fitted on 48 validation documents, relevant by the teacher's labels; expected "
        f"calibration error {one.ece_before:.3f} before, {one.ece:.3f} after"
    ]
    scores = np.array([[validation.scores[q][d] for d in DOCUMENTS] for q in validation.scores])
    probabilities = sigmoid(one.slope * scores + one.offset)
    assert probabilities[:, :3].mean() > 0.5 > probabilities[:, 3:].mean()


@pytest.mark.parametrize(
    ("student", "calibrate", "qrels", "reason"),
    [
        (RraGptSettings(base="b"), "auto", {}, "the ranking layer of a decoder has no bias"),
        (RraBertSettings(), "judgements", {}, "the validation queries have 0 relevant and 0 other documents"),
        # relevance is judged in the opposite order of the scores
        (
            RraBertSettings(),
            "judgements",
            {f"q{n}": {"d7": 1, "d8": 1} for n in range(6)},
            "relevant documents have lower scores than others",
        ),
    ],
)
def test_refused_calibration_keeps_the_raw_head_with_a_note(make, monkeypatch, student, calibrate, qrels, reason):
    monkeypatch.setattr(calibration_fitting, "_fold", lambda *_: pytest.fail("folded"))
    run, validation = make(calibrate, qrels)
    calibration_fitting.calibrate_student(run, student, validation)
    (line,) = run.lines
    assert line.startswith(f"calibration: {student.name} keeps its raw scores: ")
    assert reason in line
    assert reason in calibration_fitting.calibration_note_of(validation.model)
    assert calibration_fitting.calibration_of(validation.model) is None


def test_none_neither_scores_nor_writes(make):
    run, validation = make("none")
    calibration_fitting.calibrate_student(run, RraBertSettings(), validation)
    assert (run.lines, make.calls) == ([], [])
    assert student_config.read(validation.model) == {}


def test_saved_calibration_is_read_again(make):
    _, validation = make()
    student_config.write_calibration(validation.model, calibration())
    assert calibration_fitting.calibration_of(validation.model) == calibration()
    assert calibration_fitting.calibration_note_of(validation.model) is None
