"""Parsing listwise answers: order, parse status, counts of repairs, and prefixes for structured output."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.labels.listwise_answers import USABLE, is_answer_prefix, is_complete_answer, read_answer


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
        ("<think>a</think><answer> [3] > [1] > [2] </answer>", "thinking", (3, 1, 2)),
        ("[1] beats [2].</think>\n[3] > [1]", "thinking", (3, 1)),
        ("<think></think>\n[3] > [1]", "thinking", (3, 1)),
        ("<answer>[3] > [1]</answer>", "ok", (3, 1)),
        ("<answer></answer>", "empty", ()),
        ("[3] > [1]<|im_end|>", "ok", (3, 1)),
        ("[3] > [1]</s>", "ok", (3, 1)),
        ("[3] > [1]<｜end▁of▁sentence｜>", "ok", (3, 1)),
        ("\ufeff[3] >\u200b [\u20601]\u200d", "ok", (3, 1)),
        ("**[3]** > [1] > [2]", "prose", (3, 1, 2)),
        ("`[3] > [1]`", "prose", (3, 1)),
        ("[3] > [1]\n\n[3] > [1]", "prose", (3, 1)),
        ("Best first: [3]>[1]. So: [3] > [1]", "prose", (3, 1)),
        ("1. [3] > [1]", "prose", (3, 1)),
        ("I ranked the 3 passages: [3] > [1]", "prose", (3, 1)),
    ],
)
def test_parse_status_and_order(raw, parse_status, order):
    answer = read_answer(raw, 3)
    assert (answer.parse_status, answer.order, answer.missing) == (parse_status, order, 3 - len(order))
    assert answer.usable == (USABLE[parse_status] and bool(order))


@pytest.mark.parametrize(
    "raw",
    [
        "[3] = [1] > [2]",
        "[3] (most relevant) > [1] > [2]",
        "[3], [1] > [2]",
        "[3] [1] > [2]",
        "[3] ≻ [1] > [2]",
        "3 > [1] > [2]",
        "(3) > [1] > [2]",
        "3, [1] > [2]",
        "4. [3] then [1] > [2]",
        "Passage 3, then [1] > [2]",
        "[3 > [1] > [2]",
        "［3］ > [1] > [2]",
        "[three] > [1] > [2]",
        "[1*3] > [1] > [2]",
        "[3] > ... > [1] > [2]",
        "[1] > [2], and [3] is off topic",
        "[1] > [2]\n\n[1] > [2] > [3]",
        "[3] > <answer>[1] > [2]</answer> > 4",
        "[3] > </think>[1] > [2]",
        "[3] > <think>or 4</think>[1] > [2]",
        "<think>a</think>[3] <think>> [4]</think>> [1] > [2]",
        "[3] > [1] <think>checked</think>",
        "[3] > <think>[1] > [2]",
        "1. [3] > 2. [1] > 3. [2]",
    ],
)
def test_no_order_is_read_from_a_fragment_of_an_answer(raw):
    answer = read_answer(raw, 4)
    assert answer.order == ()
    assert not answer.usable


def test_markup_inside_a_chain_does_not_break_it():
    assert read_answer("[3] ><|eot_id|> <b>[1]</b> > <answer>[2]</answer>", 4).order == (3, 1, 2)


def test_finish_reason_length_gives_truncated():
    assert read_answer("[2] > [1]", 3, "length").parse_status == "truncated"
    assert not read_answer("[2] > [1]", 3, "length").usable


def test_duplicates_and_out_of_range_identifiers_are_counted():
    answer = read_answer("[1] > [7] > [1] > [2] > [8] > [2] > [2]", 4)
    assert (answer.duplicates, answer.out_of_range, answer.missing) == (3, 2, 2)


@given(st.integers(1, 60), st.data())
def test_permutations_are_parsed_back_unchanged(documents, data):
    order = data.draw(st.permutations(range(1, documents + 1)))
    listed = order[: data.draw(st.integers(1, documents))]
    answer = read_answer(" > ".join(f"[{number}]" for number in listed), documents, "stop")
    assert (answer.parse_status, answer.order, answer.missing) == ("ok", tuple(listed), documents - len(listed))


@given(
    st.permutations(range(1, 9)),
    st.text(alphabet="abc .,:;!?äß한\n*-", max_size=30),
    st.text(alphabet="abc .,:;!?äß한\n*-", max_size=30),
)
def test_permutations_are_found_in_surrounding_text(order, before, after):
    chain = " > ".join(f"[{number}]" for number in order)
    answer = read_answer(before + chain + after, 8)
    assert answer.order == tuple(order)
    assert answer.parse_status == ("prose" if (before + after).strip() else "ok")


NOISE = st.sampled_from(
    ["=", ",", ">", "≻", "\n", "(best)", "and", "**", "`", "<answer>", "</answer>", "<b>", "</s>", "<|im_end|>", "1."]
) | st.sampled_from(["<think>[2]</think>", "\u200b", "\u00ad", "[", "]", "[]", "...", "20 passages", "(7)"])
LETTERS = st.text(max_size=8).filter(lambda text: not any(character.isnumeric() for character in text))
DAMAGES = ["{}", "({})", "<{}>", "{{{}}}", "[{}", "{}]", "[[{}]", "passage {}", "［{}］", "[#{}]", "[{}.]"]


@given(
    st.permutations(range(1, 9)),
    st.integers(2, 8),
    st.lists(st.tuples(st.integers(0, 15), NOISE | LETTERS), max_size=3),
)
def test_noise_inside_a_chain_never_leaves_a_fragment(order, length, noises):
    parts = [part for number in order[:length] for part in (f"[{number}]", " > ")][:-1]
    for place, noise in noises:
        parts.insert(min(place, len(parts)), noise)
    answer = read_answer("".join(parts), 8, "stop")
    assert not answer.usable or answer.order == tuple(order[:length])


@given(st.permutations(range(1, 9)), st.integers(3, 8), st.data())
def test_damaged_identifier_never_leaves_a_fragment(order, length, data):
    identifiers = [f"[{number}]" for number in order[:length]]
    damaged = data.draw(st.integers(0, length - 1))
    identifiers[damaged] = data.draw(st.sampled_from(DAMAGES)).format(order[damaged])
    separators = [data.draw(st.sampled_from([" > ", ">", " = ", ", ", " and ", "\n"])) for _ in range(length - 1)]
    raw = "".join(part for pair in zip(identifiers, [*separators, ""], strict=True) for part in pair)
    assert not read_answer(raw, 8, "stop").usable


@given(
    st.text(alphabet=st.characters() | st.sampled_from("[]>0123456789<think/>I'm sorry\x00"), max_size=200),
    st.integers(0, 30),
)
def test_any_text_gives_a_parse_status(raw, documents):
    answer = read_answer(raw, documents)
    assert answer.parse_status in USABLE
    assert len(set(answer.order)) == len(answer.order)
    assert all(1 <= number <= documents for number in answer.order)
    assert answer.missing == documents - len(answer.order)


def test_spacing_does_not_matter():
    generator = random.Random(7)
    order = list(range(1, 21))
    generator.shuffle(order)
    for between in (" > ", ">", " >\n", "  >  "):
        assert read_answer(between.join(f"[{number}]" for number in order), 20).order == tuple(order)


@given(st.integers(1, 30), st.data())
def test_prefixes_of_well_formed_answers_are_accepted(documents, data):
    order = data.draw(st.permutations(range(1, documents + 1)))
    answer = " > ".join(f"[{number}]" for number in order[: data.draw(st.integers(1, documents))])
    assert all(is_answer_prefix(answer[:cut], documents) for cut in range(len(answer) + 1))
    assert is_complete_answer(answer, documents)
    assert not is_complete_answer(answer[:-1], documents)
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
def test_texts_that_no_answer_starts_with_are_not_prefixes(text):
    assert not is_answer_prefix(text, 3)


@given(st.text(alphabet="[]> 0123", max_size=14), st.integers(1, 12))
def test_every_prefix_can_be_completed(text, documents):
    """Extend the prefix by any allowed character until the answer is complete."""
    if not is_answer_prefix(text, documents):
        return
    for _ in range(100):
        if is_complete_answer(text, documents):
            return
        text += next(letter for letter in "]0123456789[ >" if is_answer_prefix(text + letter, documents))
    raise AssertionError(text)
