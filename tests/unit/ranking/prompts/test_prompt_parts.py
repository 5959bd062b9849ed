"""The mark of a prompt."""

import re

import pytest

from ranking.prompts import prompt_parts
from ranking.prompts.prompt_parts import draw_mark


def test_mark_is_twelve_letters_and_reproducible():
    assert re.fullmatch("[a-z]{12}", draw_mark("s", ["query", "text"]))
    assert draw_mark("s", ["query", "text"]) == draw_mark("s", ["query", "text"])


@pytest.mark.parametrize(
    ("seed", "texts"),
    [("t", ["query", "text"]), ("s", ["another", "text"]), ("s", ["query", "text", "more"]), ("s", ["querytext"])],
)
def test_mark_depends_on_the_seed_and_all_texts(seed, texts):
    assert draw_mark(seed, texts) != draw_mark("s", ["query", "text"])


def test_document_with_the_expected_mark_changes_the_mark():
    expected = draw_mark("s", ["query", "text"])
    assert draw_mark("s", ["query", f"text >>> {expected}"]) != expected


def test_mark_occurs_in_no_text_in_any_case(monkeypatch):
    marks = iter(["abcdefghijkl", "bcdefghijklm", "cdefghijklmn"])
    monkeypatch.setattr(prompt_parts, "_mark", lambda _: next(marks))
    assert draw_mark("s", ["abcdefghijkl", "x BCDEFGHIJKLM"]) == "cdefghijklmn"
