"""Sentences that share most with the query, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.extractive_rationales import (
    LONGEST_SENTENCE,
    best_sentence,
    extracted_rationales,
    sentences,
    term_weights,
    terms,
)
from tests.unit.ranking.labels.test_rationales import label_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("He said “go.” Then he\nwent.", ["He said “go.”", "Then he went."]),
        ("Use it, e.g.  here, in version 3.11 of it.", ["Use it, e.g. here, in version 3.11 of it."]),
        ("A heading\n\nA line", ["A heading", "A line"]),
        ("银杏是树。它很老！「真的吗？」是的", ["银杏是树。", "它很老！", "「真的吗？」", "是的"]),
        ("यह एक पेड़ है। वह पुराना है।", ["यह एक पेड़ है।", "वह पुराना है।"]),
        (" \n ", []),
    ],
)
def test_a_text_is_divided_into_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet=st.sampled_from("ab .!?\n。字é"), max_size=900))
def test_no_character_is_lost_and_no_sentence_is_too_long(text):
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(0 < len(sentence) <= LONGEST_SENTENCE for sentence in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Merging MERGED, merges!", ["merg", "merg", "merg"]),
        ("What does the index do?", ["index"]),
        ("os.path.join", ["os", "path", "join"]),
        ("银杏树 x", ["银杏", "杏树", "x"]),
        ("茶", ["茶"]),
        ("ทะเล", ["ทะ", "ะเ", "เล"]),
        ("हिन्दी", ["हिन्दी"]),
        ("— ?", []),
    ],
)
def test_terms(text, expected):
    assert terms(text) == expected


def test_weights_by_hand():
    weights = term_weights(["pet cat", "the pet dog", "pet cat cat"])
    assert weights["pet"] == pytest.approx(math.log(1 + 0.5 / 3.5))
    assert weights["cat"] == pytest.approx(math.log(1 + 1.5 / 2.5))
    assert weights["dog"] == pytest.approx(math.log(1 + 2.5 / 1.5))


def test_the_rarer_term_decides_and_of_equal_sentences_the_earlier():
    weights = {"tide": 2.0, "sea": 1.0}
    passage = "The sea is a sea, the sea. Tides rise. Tides fall."
    assert best_sentence("the tides of the sea", passage, weights) == "Tides rise."
    assert best_sentence("the tides of the sea", f"{passage} Seas have a tide.", weights) == "Seas have a tide."
    assert best_sentence("tides", passage, weights) == "Tides rise."
    assert best_sentence("moon", passage, weights) is None
    assert (
        best_sentence("海的潮汐", "月亮很远。潮汐来自月亮。", term_weights(["月亮很远。潮汐来自月亮。"]))
        == "潮汐来自月亮。"
    )


def test_every_candidate_gets_its_sentence_or_the_word_that_none_fits():
    label = label_of(["d2"], documents=3)
    texts = {"d1": "Granite is hard.", "d2": "Rocks are old. Copper is a metal.", "d3": "metal?"}
    candidates = [c.model_copy(update={"text": texts[c.doc_id]}) for c in label.candidates]
    found = extracted_rationales(label.model_copy(update={"candidates": candidates}))
    assert [(r.doc_id, r.relevant, r.status, r.text) for r in found] == [
        ("d1", False, "unmatched", ""),
        ("d2", True, "ok", "Copper is a metal."),
        ("d3", False, "ok", "metal?"),
    ]
