"""Rationales from the thought of a listwise teacher."""

import pytest

from actors.data.rows import Outcome, records, table_of
from actors.rationales.thinking_writer import take_from_thoughts
from ranking.labels.thinking_rationales import thinking_rationales
from ranking.records import Label, RationaleList
from tests.testing.synthetic_labels import label_of

THOUGHT = (
    "<think>The query asks about tides. Document [1] explains the pull of the moon. [2] and [3] are about ships.\n"
    "So [2] is off topic! What about [1]? [3] no.</think>[1]"
)


def label_with(raw, **answer):
    label = label_of(["d1"], documents=4)
    positions = {candidate.doc_id: number for number, candidate in enumerate(label.candidates, start=1)}
    candidates = [c.model_copy(update={"prompt_position": positions[c.doc_id]}) for c in label.candidates]
    changed = label.answer.model_copy(update={"raw": raw, **answer})
    return label.model_copy(update={"answer": changed, "candidates": candidates})


def texts(label):
    return [(rationale.status, rationale.text) for rationale in thinking_rationales(label)]


def test_candidate_gets_the_first_sentence_that_names_only_it():
    assert texts(label_with(THOUGHT)) == [
        ("ok", "The passage explains the pull of the moon."),
        ("ok", "So the passage is off topic!"),
        ("unmatched", ""),
        ("unmatched", ""),
    ]


@pytest.mark.parametrize(
    ("raw", "answer"),
    [("[1] > [2]", {}), (None, {}), (f"{THOUGHT}\n{THOUGHT}", {}), (THOUGHT, {"orders": 2})],
    ids=["no thought", "no answer", "two answers", "two orders"],
)
def test_labels_without_a_single_thought_get_no_rationale(raw, answer):
    assert {status for status, _ in texts(label_with(raw, **answer))} == {"unmatched"}


def test_thought_without_its_opening_tag_and_long_sentences():
    raw = f"Passage [1] {'very ' * 200}good. Passage [2] has the answer to this.</think>[2]"
    assert [status for status, _ in texts(label_with(raw))] == ["too_long", "ok", "unmatched", "unmatched"]


def test_writer_returns_one_row_per_label():
    (outcome,) = records(take_from_thoughts(table_of([label_with(THOUGHT)], Label)), Outcome[RationaleList])
    assert (outcome.row.writer, len(outcome.row.rationales)) == ("thinking", 4)
