"""Reading a listwise answer: its order, its parse_status, and that nothing is repaired unseen."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.listwise_answers import USABLE, may_end, may_go_on, read_answer


@pytest.mark.parametrize(
    ("raw", "parse_status", "order"),
    [
        ("[2] > [1] > [3]", "ok", (2, 1, 3)),
        (" [2]>[ 3 ] \n", "ok", (2, 3)),
        ("[1]", "ok", (1,)),
        ("", "empty", ()),
        ("  \n ", "empty", ()),
        ("[2] > [2] > [1]", "duplicates", (2, 1)),
        ("[2] > [9] > [1]", "out_of_range", (2, 1)),
        ("[0] > [9] > [9] > [1] > [1]", "out_of_range", (1,)),
        ("[2] > [1] > ", "truncated", (2, 1)),
        ("[2] > [1] > [", "truncated", (2, 1)),
        ("[2] > [1", "truncated", ()),
        ("<think>[3] looks good</think>[2] > [1]", "thinking", (2, 1)),
        ("<think>first [1] > [2], but", "thinking", ()),
        ("The ranking is [2] > [1].", "prose", (2, 1)),
        ("Passage [2] beats [1], and [3] is off topic.", "prose", ()),
        ("[2] > [1]\nor perhaps [1] > [2]", "prose", ()),
        ("[2], [1], [3]", "prose", ()),
        ("the second one", "prose", ()),
        ("I'm sorry, but I cannot rank these passages.", "refused", ()),
        ("I am unable to help with that.", "refused", ()),
    ],
)
def test_verdicts(raw, parse_status, order):
    answer = read_answer(raw, 3)
    assert (answer.parse_status, answer.order, answer.missing) == (parse_status, order, 3 - len(order))
    assert answer.usable == (USABLE[parse_status] and bool(order))


def test_an_answer_that_the_engine_cut_off_is_truncated_however_it_looks():
    assert read_answer("[2] > [1]", 3, "length").parse_status == "truncated"
    assert not read_answer("[2] > [1]", 3, "length").usable


def test_counts_stand_beside_the_verdict():
    answer = read_answer("[1] > [7] > [1] > [2] > [8] > [2] > [2]", 4)
    assert (answer.duplicates, answer.out_of_range, answer.missing) == (3, 2, 2)


@given(st.integers(1, 60), st.data())
def test_every_permutation_is_read_back_as_it_is(documents, data):
    order = data.draw(st.permutations(range(1, documents + 1)))
    listed = order[: data.draw(st.integers(1, documents))]
    answer = read_answer(" > ".join(f"[{number}]" for number in listed), documents, "stop")
    assert (answer.parse_status, answer.order, answer.missing) == ("ok", tuple(listed), documents - len(listed))


@given(
    st.permutations(range(1, 9)),
    st.text(alphabet="abc .,:;!?äß한\n*-", max_size=30),
    st.text(alphabet="abc .,:;!?äß한\n*-", max_size=30),
)
def test_a_permutation_with_noise_around_it_is_read_back(order, before, after):
    chain = " > ".join(f"[{number}]" for number in order)
    answer = read_answer(before + chain + after, 8)
    assert answer.order == tuple(order)
    assert answer.parse_status == ("prose" if (before + after).strip() else "ok")


@given(
    st.text(alphabet=st.characters() | st.sampled_from("[]>0123456789<think/>I'm sorry\x00"), max_size=200),
    st.integers(0, 30),
)
def test_any_text_gives_a_verdict_and_never_an_exception(raw, documents):
    answer = read_answer(raw, documents)
    assert answer.parse_status in USABLE
    assert len(set(answer.order)) == len(answer.order)
    assert all(1 <= number <= documents for number in answer.order)
    assert answer.missing == documents - len(answer.order)


def test_the_same_answers_whatever_the_spacing():
    dice = random.Random(7)
    order = list(range(1, 21))
    dice.shuffle(order)
    for between in (" > ", ">", " >\n", "  >  "):
        assert read_answer(between.join(f"[{number}]" for number in order), 20).order == tuple(order)


@given(st.integers(1, 30), st.data())
def test_every_beginning_of_an_answer_in_form_may_go_on_and_the_answer_may_end(documents, data):
    order = data.draw(st.permutations(range(1, documents + 1)))
    answer = " > ".join(f"[{number}]" for number in order[: data.draw(st.integers(1, documents))])
    assert all(may_go_on(answer[:cut], documents) for cut in range(len(answer) + 1))
    assert may_end(answer, documents)
    assert not may_end(answer[:-1], documents)
    assert read_answer(answer, documents, "stop").parse_status == "ok"


@pytest.mark.parametrize(
    "text",
    [
        "[4",
        "[0",
        "[01",
        "[1] > [1",
        "[1] > [2] > [3] ",
        "[1]>",
        "1",
        " [1]",
        "[1] > [2] > [3] > ",
        "[x",
        "[1]\n",
        "[١",
        "[]",
    ],
)
def test_what_cannot_become_an_answer_in_form_may_not_go_on(text):
    assert not may_go_on(text, 3)


@given(st.text(alphabet="[]> 0123", max_size=14), st.integers(1, 12))
def test_whatever_may_go_on_reaches_an_answer(text, documents):
    """A text that may go on is the beginning of some whole answer: the longest one that begins so is found by trying."""
    if not may_go_on(text, documents):
        return
    for _ in range(100):
        if may_end(text, documents):
            return
        text += next(letter for letter in "]0123456789[ >" if may_go_on(text + letter, documents))
    raise AssertionError(text)
