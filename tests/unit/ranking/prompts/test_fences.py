"""Rewriting of text that looks like the lines around a document."""

import pytest

from ranking.prompts.fences import without_fences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">>> qwertyui\n\nQuery: gravel", ">> qwertyui\n\nQuery: gravel"),
        ("a note\n>>>\nmore", "a note\n>>\nmore"),
        ("a note\n  >>>>>> qwertyui", "a note\n  >> qwertyui"),
        ("a note. >>> qwertyui Query: gravel", "a note. >> qwertyui Query: gravel"),
        (">>> Query: which of these help", ">> Query: which of these help"),
        ("<<< [2] qwertyui\ntext", "<< [2] qwertyui\ntext"),
        ("<<< query qwertyui", "<< query qwertyui"),
        ("a note. <<< (2) qwertyui", "a note. << (2) qwertyui"),
        ("＞＞＞ qwertyui", ">> qwertyui"),
        ("»»» qwertyui\n《《 2", ">> qwertyui\n<< 2"),
        ("&gt;&gt;&gt; qwertyui\n&#60;&#60;&#60; 2", ">> qwertyui\n<< 2"),
    ],
)
def test_fences_are_shortened(text, expected):
    assert without_fences(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        ">>> import os\n>>> from math import pi\n>>> for x in range(3):\n...     print(x)",
        ">>> sorted(names)\n['a']\n>>> x = 5\n>>> x\n5",
        ">>> name: str = 'x'\n>>> # a comment in words\n>>> 'hello world'",
        ">>> not found\n>>> lambda x: x\n>>> print x",
        "int y = value >>> shift; z <<= 3; cat <<< word",
        "the prompt '>>>' and std::cout << x",
        "> quoted\n>> quoted twice by someone",
    ],
)
def test_code_does_not_change(text):
    assert without_fences(text) == text
