"""Splitting of documents into passages, their maximum, and the estimate of their number."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import AutoTokenizer

from ranking.model_paths import model_path
from ranking.passage_settings import PassageSettings
from ranking.records import content
from students.passage_splitting import (
    BestPassage,
    best_passages,
    estimated_passages,
    score_documents,
    split_documents,
)
from tools.tiny_models import tiny_generator, tiny_xlm_roberta

SMALL = PassageSettings(tokens=8, stride=4, max_per_document=1000)
PIECES = [
    *("ranking ", "a ", "internationalisation", "foo(bar)[1]", "\n\n", "  ", "x" * 120, "\x00", "\u200b", "\ud800"),
    *("漢字かな", "e\u0301e\u0301 ", "\u0301", "😀", "👩\u200d👩\u200d👧", "\ufdfa", "नमस्ते "),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=40).map("".join)


@pytest.fixture(scope="module", params=["wordpiece", "byte level", "unigram"])
def tokenizer(request, tmp_path_factory):
    if request.param == "wordpiece":
        return request.getfixturevalue("wordpiece")
    write_model = {"byte level": tiny_generator, "unigram": tiny_xlm_roberta}[request.param]
    return AutoTokenizer.from_pretrained(write_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def wordpiece():
    return AutoTokenizer.from_pretrained(model_path("minilm-cross"))


def spans_of(tokenizer, text, passages=SMALL, limit=None, heading=""):
    split = split_documents(tokenizer, [(heading, text)], passages, limit)
    (spans,) = split.spans
    return split, spans


def tokens_of(tokenizer, text):
    return tokenizer.tokenize(text)


@given(text=TEXTS, heading=st.sampled_from(["", "A title\n"]))
@settings(max_examples=150)
def test_passages_are_substrings_that_cover_the_text(tokenizer, text, heading):
    split, spans = spans_of(tokenizer, text, heading=heading)
    assert split.texts == [heading + text[start:end] for start, end in spans]
    assert (spans[0][0], spans[-1][1], split.shortened) == (0, len(text), 0)
    for (start, end), (next_start, next_end) in itertools.pairwise(spans):
        assert start <= next_start <= end < next_end


@given(text=TEXTS, most=st.integers(1, 4))
def test_limit_keeps_the_first_passages_and_counts_the_document(tokenizer, text, most):
    _, whole = spans_of(tokenizer, text)
    split, spans = spans_of(tokenizer, text, limit=most)
    assert spans == whole[:most]
    assert split.shortened == (len(whole) > most)
    by_setting, _ = spans_of(tokenizer, text, SMALL.model_copy(update={"max_per_document": most}), limit=1000)
    assert by_setting.spans == [spans]


def test_passages_have_the_tokens_and_the_overlap_of_the_settings(wordpiece):
    words = " ".join(itertools.islice(itertools.cycle(["one", "two", "three", "four", "five"]), 22))
    tokens = tokens_of(wordpiece, words)
    split, spans = spans_of(wordpiece, words)
    pieces = [tokens_of(wordpiece, text) for text in split.texts]
    assert len(spans) == -(-(len(tokens) - 8) // 4) + 1
    assert all(len(piece) == 8 for piece in pieces[:-1])
    assert 4 < len(pieces[-1]) <= 8
    for (_, end), (next_start, _) in itertools.pairwise(spans):
        assert len(tokens_of(wordpiece, words[next_start:end])) == 4


@pytest.mark.parametrize("text", ["", " ", "word", "one two three", " padded \n", "\x00", "\ud800", "e\u0301"])
def test_short_documents_are_one_unchanged_passage(tokenizer, text):
    split, spans = spans_of(tokenizer, text, SMALL.model_copy(update={"tokens": 16}))
    assert (split.texts, spans, split.shortened) == ([text], [(0, len(text))], 0)


def test_empty_text_with_a_title_is_read_as_its_title(tokenizer):
    split, _ = spans_of(tokenizer, "", heading=content("A title", ""))
    assert split.texts == ["A title\n"]
    assert split_documents(tokenizer, [], SMALL).spans == []


def test_one_huge_word_is_read_within_the_limit(tokenizer):
    word = "x" * 300_000
    split, spans = spans_of(tokenizer, word, SMALL, limit=3)
    assert len(spans) <= 3
    assert split.shortened == 1
    assert sum(map(len, split.texts)) < 10_000  # only the beginning of a very long text is tokenized
    assert all(word.startswith(text) for text in split.texts)


def test_a_limit_does_not_change_the_passages_of_a_very_long_text(tokenizer):
    text = "".join(f"word {number} is here. " for number in range(5000))
    _, whole = spans_of(tokenizer, text, SMALL.model_copy(update={"max_per_document": 1000}))
    _, spans = spans_of(tokenizer, text, limit=20)
    assert spans == whole[:20]


def test_combining_characters_stay_with_their_base(wordpiece):
    text = "e\u0301 " * 40
    _, spans = spans_of(wordpiece, text)
    assert len(spans) > 2
    assert all(text[start] == "e" for start, _ in spans)


def test_documents_are_split_independently(tokenizer):
    texts = ["short", "", "several words here " * 10, "other words there " * 5]
    together = split_documents(tokenizer, [("", text) for text in texts], SMALL)
    alone = [spans_of(tokenizer, text)[1] for text in texts]
    assert together.spans == alone
    assert len(together.texts) == sum(map(len, alone))


def test_best_passage_is_the_first_with_the_highest_score():
    spans = [[(0, 5), (3, 8), (6, 9)], [(0, 2)], [(0, 4), (2, 6)]]
    best = best_passages([0.1, 0.9, 0.9, -2.0, -0.5, -0.7], spans)
    assert best == [BestPassage(0.9, (3, 8)), BestPassage(-2.0, (0, 2)), BestPassage(-0.5, (0, 4))]
    assert best_passages([], []) == []
    with pytest.raises(ValueError, match="2 scores for 3 passages"):
        best_passages([1.0, 2.0], spans[:1])


class MarkScorer:
    """A scorer whose score of a pair is the number of "!" in the document."""

    def __init__(self, tokenizer, passages):
        self.tokenizer, self.passages, self.seen = tokenizer, passages, []

    def score(self, pairs):
        self.seen += pairs
        return [float(document.count("!")) for _, document in pairs]


def test_documents_are_scored_by_their_best_passage(wordpiece):
    long = "word " * 30 + "here ! ! ! and " + "word " * 30
    scorer = MarkScorer(wordpiece, SMALL.model_copy(update={"max_per_document": 20}))
    scored = score_documents(scorer, "q", [("T", long), ("", "one !"), ("", "")])
    assert (scored.scores, scored.shortened) == ([3.0, 1.0, 0.0], 0)
    assert all(document.startswith("T\n") for _, document in scorer.seen[:-2])
    assert scorer.seen[-2:] == [("q", "one !"), ("q", "")]
    short = MarkScorer(wordpiece, SMALL.model_copy(update={"max_per_document": 2}))
    assert score_documents(short, "q", [("T", long), ("", "one !")]).shortened == 1


def test_without_passages_whole_documents_are_scored(wordpiece):
    scorer = MarkScorer(wordpiece, None)
    assert score_documents(scorer, "q", [("T", "a ! b"), ("", "c")]).scores == [1.0, 0.0]
    assert scorer.seen == [("q", "T\na ! b"), ("q", "c")]


def test_estimate_grows_with_the_text_up_to_the_limit():
    settings = PassageSettings(tokens=100, stride=50, max_per_document=10)
    assert [estimated_passages("x" * 4 * tokens, settings) for tokens in (0, 1, 100, 101, 150, 151)] == [
        1, 1, 1, 2, 2, 3]  # fmt: skip
    assert estimated_passages("x" * 10**6, settings) == 10
    assert estimated_passages("x" * 10**6, settings, 4) == 4
    assert estimated_passages("x" * 10**6, settings, 99) == 10
    assert estimated_passages("漢" * 200, settings) == 2  # 600 bytes, 150 tokens


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": 16, "stride": 17}, "stride 17 is more than tokens 16, so text would be skipped"),
        ({"tokens": 4}, "greater than or equal to 8"),
        ({"aggregate": "mean"}, "'max'"),
    ],
)
def test_invalid_settings_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        PassageSettings(**values)
