"""Recorded teacher: answers, runs and grades. Documents that the teacher never saw are not negatives."""

import gzip
import json

import pytest

from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from actors.teachers.recorded.recorded_teacher import RecordedTeacher
from ranking.errors import InputError
from ranking.labels.label_views import training_candidates
from ranking.labels.recorded_rankings import read_answers, read_recorded
from ranking.labels.relevance import candidates_to_explain, relevance
from ranking.labels.targets import targets_from_grades, tiers_from_order
from ranking.records import Candidate, PreRankedCandidate, PreRankedList


def candidate(doc_id, rank=1, duplicates=()):
    return Candidate(
        doc_id=doc_id, title="", text=doc_id, rank=rank, score=1.0 / rank, retriever="bm25", duplicates=list(duplicates)
    )


def pre_ranked(*doc_ids):
    return [(candidate(doc_id, rank), rank, rank <= 2) for rank, doc_id in enumerate(doc_ids, start=1)]


def write_jsonl(folder, *rows, name="answers.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ANSWER = {"query_id": "q", "documents": ["a", "b", "c"], "answer": "[3] > [1]"}


def test_unlisted_documents_are_hard_negatives_if_shown_else_unseen():
    labelled = {c.doc_id: c for c in tiers_from_order(pre_ranked("a", "b", "x", "c"), ["c", "a"], ["a", "b", "c"])}
    assert {doc_id: c.tier for doc_id, c in labelled.items()} == {
        "a": "listed",
        "b": "hard_negative",
        "x": "unseen",
        "c": "listed",
    }
    assert [labelled[doc_id].target for doc_id in "cabx"] == [3.0, 2.0, 1.0, 0.0]
    assert {doc_id: c.prompt_position for doc_id, c in labelled.items()} == {"a": 1, "b": 2, "c": 3, "x": 0}


def test_duplicate_of_a_shown_document_counts_as_shown():
    duplicates = [(candidate("a", 1, ["a2"]), 1, True), (candidate("b", 2), 2, True)]
    (first, second) = tiers_from_order(duplicates, [], ["a2"])
    assert (first.tier, second.tier) == ("hard_negative", "unseen")


def test_grades_are_targets_and_ungraded_documents_are_unseen():
    labelled = targets_from_grades(pre_ranked("a", "b", "c"), {"b": 3, "c": 0, "elsewhere": 2})
    assert [(c.doc_id, c.tier, c.position, c.target) for c in labelled] == [
        ("a", "unseen", None, 0.0),
        ("b", "listed", 1, 3.0),
        ("c", "listed", 2, 0.0),
    ]


def outcome(folder, rows, doc_ids, query_id="q", name="answers.jsonl", **settings):
    """Label documents with a teacher recorded in a file of `rows` (dictionaries as JSON, or lines of text)."""
    path = write_jsonl(folder, *rows, name=name) if isinstance(rows[0], dict) else folder / name
    if not isinstance(rows[0], dict):
        path.write_text("\n".join(rows) + "\n")
    teacher = RecordedTeacher(RecordedTeacherSettings(path=str(path), **settings), "f")
    shown = [
        PreRankedCandidate(candidate=candidate(d, rank), pre_rank=rank, of_head=True)
        for rank, d in enumerate(doc_ids, 1)
    ]
    return teacher._outcome(PreRankedList(query_id=query_id, text="a query", picked=shown))


def recorded_label(*arguments, **named):
    return outcome(*arguments, **named).row


def test_recorded_answer_becomes_a_label_with_its_raw_text(tmp_path):
    label = recorded_label(tmp_path, [ANSWER], ["a", "x", "c", "b"])
    assert [(c.doc_id, c.tier) for c in label.candidates] == [
        ("a", "listed"),
        ("x", "unseen"),
        ("c", "listed"),
        ("b", "hard_negative"),
    ]
    assert (label.answer.raw, label.answer.parse_status, label.answer.missing) == ("[3] > [1]", "ok", 1)
    assert label.provenance.targets == "tiers"


def test_unseen_documents_are_not_trained_on_and_get_no_rationale(tmp_path):
    label = recorded_label(tmp_path, [ANSWER], ["a", "x", "c", "b"])
    for missing in ("hard_negative", "append", "drop"):
        assert "x" not in [c.doc_id for c in training_candidates(label, missing)]
    assert relevance(label) == [True, False, True, False]
    assert [label.candidates[i].doc_id for i in candidates_to_explain(label, 4)] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**ANSWER, "answer": "none"}, "the recorded answer is none: no document is relevant"),
        ({**ANSWER, "answer": "I cannot rank these."}, "the recorded answer is unusable, parse status refused"),
        ({**ANSWER, "query_id": "other"}, "the recorded file has no entry for this query"),
        ({**ANSWER, "documents": ["u", "v", "w"]}, "the recorded teacher lists none of this query's candidates"),
    ],
)
def test_query_without_a_label_is_rejected_with_the_reason(tmp_path, row, reason):
    result = outcome(tmp_path, [row], ["a", "b", "c"])
    assert (result.row, result.rejection.reason) == (None, reason)


def test_documents_that_a_run_does_not_list_are_negative_or_unseen(tmp_path):
    run = ["q Q0 b 1 2.0 t", "q Q0 a 2 1.0 t"]
    tiers = [c.tier for c in recorded_label(tmp_path, run, ["a", "x", "b"], name="r.trec").candidates]
    assert tiers == ["listed", "hard_negative", "listed"]
    tiers = [
        c.tier for c in recorded_label(tmp_path, run, ["a", "x", "b"], name="r.trec", unlisted="unseen").candidates
    ]
    assert tiers == ["listed", "unseen", "listed"]


def test_graded_qrels_become_scores(tmp_path):
    label = recorded_label(
        tmp_path, ["query-id\tcorpus-id\tscore", "q\ta\t0", "q\tb\t3"], ["a", "x", "b"], name="grades.tsv"
    )
    assert label.provenance.targets == "scores"
    assert [(c.doc_id, c.target) for c in training_candidates(label)] == [("a", 0.0), ("b", 3.0)]


def test_gzipped_files_and_arrays_become_the_same_labels(tmp_path):
    answers = json.dumps([ANSWER], indent=1)
    (tmp_path / "array.jsonl").write_text(answers)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(ANSWER).encode()))
    (tmp_path / "g.qrels.gz").write_bytes(gzip.compress(b"q 0 a 2.0\nq 0 b 1.0\n"))
    assert read_recorded(tmp_path / "array.jsonl")["q"].order == read_recorded(tmp_path / "a.jsonl.gz")["q"].order
    assert read_recorded(tmp_path / "g.qrels.gz")["q"].scores == {"a": 2.0, "b": 1.0}


def test_ranks_of_an_msmarco_run_are_not_read_as_grades(tmp_path):
    for name in ("r.tsv", "r.run", "r.qrels"):
        (tmp_path / name).write_text("q\ta\t1\nq\tb\t2\n")
    with pytest.raises(InputError, match=r"r\.tsv: .* can be ranks or grades; rename a run to \.run"):
        read_recorded(tmp_path / "r.tsv")
    assert (read_recorded(tmp_path / "r.run")["q"].order, read_recorded(tmp_path / "r.run")["q"].scores) == (
        ["a", "b"],
        None,
    )
    assert read_recorded(tmp_path / "r.qrels")["q"].order == ["b", "a"]


def test_unknown_ids_are_counted_and_a_foreign_file_is_an_error(tmp_path):
    teacher = RecordedTeacher(RecordedTeacherSettings(path=str(write_jsonl(tmp_path, ANSWER))), "f")
    assert teacher.count_unknown({"a", "b"}) == 1
    with pytest.raises(InputError, match=r"the collection has none of the 3 recorded documents, such as 'a'"):
        teacher.count_unknown({"z"})


def test_first_order_of_several_answers_is_the_label(tmp_path):
    path = write_jsonl(tmp_path, {**ANSWER, "order": 1, "answer": "[1]"}, ANSWER)
    assert [recorded.order for recorded in read_answers(path)["q"]] == [["c", "a"], ["a"]]
    assert read_recorded(path)["q"].order == ["c", "a"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ANSWER, ANSWER], "line 2: query 'q' has two answers with order 0"),
        (
            [{"query_id": "q", "answer": "[1]"}],
            "line 1: expected an object with 'query_id' .string., 'documents' .list of ids. and 'answer'",
        ),
        ([{**ANSWER, "documents": ["a", "a"]}], "line 1: 'documents' must be a list of distinct ids"),
        ([{**ANSWER, "order": -1}], "line 1: 'order' must be an integer of 0 or more, not -1"),
    ],
)
def test_malformed_file_error_names_the_line(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read_recorded(write_jsonl(tmp_path, *rows))
