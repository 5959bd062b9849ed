"""Extractive rationales: sentence splitting, terms, weights, and the chosen sentence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.extractive_rationales import (
    MAX_SENTENCE_LENGTH,
    best_sentence,
    extracted_rationales,
    sentences,
    term_weights,
    terms,
)
from tests.testing.synthetic_labels import label_of


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
def test_split_into_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet=st.sampled_from("ab .!?\n。字é"), max_size=900))
def test_sentences_lose_no_text_and_respect_the_maximum_length(text):
    result = sentences(text)
    assert "".join("".join(result).split()) == "".join(text.split())
    assert all(0 < len(sentence) <= MAX_SENTENCE_LENGTH for sentence in result)


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
def test_split_into_terms(text, expected):
    assert terms(text) == expected


def test_term_weights_match_the_formula():
    weights = term_weights(["pet cat", "the pet dog", "pet cat cat"])
    assert weights["pet"] == pytest.approx(math.log(1 + 0.5 / 3.5))
    assert weights["cat"] == pytest.approx(math.log(1 + 1.5 / 2.5))
    assert weights["dog"] == pytest.approx(math.log(1 + 2.5 / 1.5))


def test_best_sentence_prefers_rare_terms_then_earlier_sentences():
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


def test_terms_and_sentences_follow_the_language():
    assert terms("die Häuser", "german") == ["haus"]
    label = label_of(["d1"], documents=2).model_copy(update={"query": "Haus"})
    candidates = [c.model_copy(update={"text": "Es regnet. Alle Häuser sind nass."}) for c in label.candidates]
    label = label.model_copy(update={"candidates": candidates})
    assert [r.text for r in extracted_rationales(label, "german")] == ["Alle Häuser sind nass."] * 2
    assert [r.status for r in extracted_rationales(label)] == ["unmatched"] * 2


def test_each_candidate_gets_a_sentence_or_the_status_unmatched():
    label = label_of(["d2"], documents=3)
    texts = {"d1": "Granite is hard.", "d2": "Rocks are old. Copper is a metal.", "d3": "metal?"}
    candidates = [c.model_copy(update={"text": texts[c.doc_id]}) for c in label.candidates]
    rationales = extracted_rationales(label.model_copy(update={"candidates": candidates}))
    assert [(r.doc_id, r.relevant, r.status, r.text) for r in rationales] == [
        ("d1", False, "unmatched", ""),
        ("d2", True, "ok", "Copper is a metal."),
        ("d3", False, "ok", "metal?"),
    ]
