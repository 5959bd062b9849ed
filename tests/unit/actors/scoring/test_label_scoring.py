"""Scores of labels by a trained student, and the training batches that contain them."""

import pytest

from actors.data.rows import Outcome, records, table_of
from actors.scoring.label_scoring import LabelScorer
from actors.training.label_batches import LabelBatches, LabelReader
from ranking.model_paths import model_path
from ranking.records import Label, ScoredList, content
from ranking.storage.folder import Folder
from students import kinds
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tests.testing.synthetic_labels import label_of


class LengthScorer:
    """Scores a pair by the number of its document's letters."""

    def score(self, pairs):
        return [float(len(document)) for _, document in pairs]


class StoredModel:
    """A model whose scorer is a `LengthScorer`."""

    def load(self):
        return LengthScorer()


def label(query_id, unseen=()):
    """Return a label with documents of different lengths, some of which the teacher was not shown."""
    made = label_of(["d2"], documents=4)
    candidates = [
        c.model_copy(update={"text": "x" * n, "title": "t", **({"tier": "unseen"} if c.doc_id in unseen else {})})
        for n, c in enumerate(made.candidates, start=1)
    ]
    return made.model_copy(update={"query_id": query_id, "candidates": candidates})


def scored(labels):
    outcomes = LabelScorer(StoredModel())(table_of(labels, Label))
    return [outcome.row for outcome in records(outcomes, Outcome[ScoredList])]


def batches(folder, labels, rows, **training):
    (folder / "labels").write_rows("part-0.parquet", labels)
    (folder / "scores").write_rows("part-0.parquet", rows)
    settings = RraBertSettings(distillation={"student": "large"})
    reader = kinds.TrainingReader(settings, kinds.tokenizer_of(settings, model_path("minilm-cross")))
    return LabelBatches(
        LabelReader(folder / "labels"), TrainingSettings(**training), reader, source_scores=folder / "scores"
    )


def test_documents_that_the_teacher_saw_are_scored_as_in_training():
    (row, none) = scored([label("q", unseen={"d1"}), label("p", unseen={"d1", "d2", "d3", "d4"})])
    assert row.doc_ids == ["d2", "d3", "d4"]
    assert row.scores == [float(len(content("t", "x" * n))) for n in (2, 3, 4)]
    assert (none.query_id, none.doc_ids, none.scores) == ("p", [], [])


def test_scores_follow_the_sampled_candidates(tmp_path):
    labels = [label("q"), label("p")]
    made = batches(Folder(tmp_path), labels, scored(labels), candidates_per_list=2)
    batch = made.batch(["p", "q"], 3)
    lengths = [float(len(document)) for _, document in batch.pairs]
    assert batch.source_scores.tolist() == [lengths[:2], lengths[2:]]
    assert len(set(lengths)) > 2  # not all lists have the same sample


def test_list_without_usable_candidates_has_a_score_of_zero(tmp_path):
    labels = [label("p", unseen={"d1", "d2", "d3", "d4"}), label("q")]
    made = batches(Folder(tmp_path), labels, scored(labels))
    assert made.batch(["p"], None).source_scores.tolist() == [[0.0]]


def test_missing_score_of_a_candidate_is_an_error(tmp_path):
    rows = scored([label("q", unseen={"d3"})])
    with pytest.raises(KeyError, match="d3"):
        batches(Folder(tmp_path), [label("q")], rows).batch(["q"], None)
