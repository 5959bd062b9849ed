"""Passages from free texts: extraction from each source, and filters."""

import pytest

from tools.texts import Passage, distinct, docstrings, glosses, handbook, overlapping, sentences

MODULE = '''
def mergeSorted_lists(lists):
    """Merge lists that are sorted into one. The result is sorted too, and equal items keep their order."""

def _private():
    """Nobody outside should see what this function says about itself in eight words."""

class Short:
    """Too short."""

def numbers():
    """0 1 2 3 4 5 6 7 8 9 10 11 12"""
'''
NOUNS = """  1 a licence
00000001 03 n 02 metal 0 metallic_element 0 000 \
| any of several chemical elements that are usually shiny solids; "gold is a metal"
00000002 03 n 01 copper 0 001 @ 00000001 n 0000 | a ductile reddish element that conducts heat and electricity
"""
PAGE = """<html><h2 class="title">8.1. Time</h2><p>Nobody
measures time like a <em>clock</em> that was set right once.</p><h3>Chapter 9. Short</h3><p>Too short.</p>
<div class="para">A paragraph of the other kind has a place in here too.</div></html>"""


def test_docstrings_of_public_names_become_passages_titled_with_words(tmp_path):
    (tmp_path / "package" / "tests").mkdir(parents=True)
    (tmp_path / "package" / "lists.py").write_text(MODULE)
    (tmp_path / "package" / "tests" / "more.py").write_text(MODULE.replace("Merge", "Test"))
    (tmp_path / "package" / "broken.py").write_text("def (:")
    (passage,) = docstrings(tmp_path)
    assert passage == Passage(
        "merge sorted lists",
        "Merge lists that are sorted into one. The result is sorted too, and equal items keep their order.",
    )


def test_gloss_of_synset_includes_gloss_of_hypernym(tmp_path):
    (tmp_path / "data.noun").write_text(NOUNS)
    for part in ("verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text("")
    metal, copper = glosses(tmp_path)
    assert metal.text.startswith("Metal, metallic element: any of several")
    assert copper.title == "copper"
    assert copper.text.endswith("electricity. Metal: any of several chemical elements that are usually shiny solids.")


def test_paragraphs_are_titled_with_the_heading_above(tmp_path):
    (tmp_path / "a.html").write_text(PAGE)
    assert list(handbook(tmp_path)) == [
        Passage("Time", "Nobody measures time like a clock that was set right once."),
        Passage("Short", "A paragraph of the other kind has a place in here too."),
    ]


def test_long_texts_split_between_sentences_and_duplicates_are_dropped(tmp_path):
    sentence = "This sentence has ten words in it and ends here. "
    (tmp_path / "a.py").write_text(
        f'def first():\n    """{sentence * 12}"""\ndef again():\n    """{sentence * 12}"""\n'
    )
    passages = list(docstrings(tmp_path))
    assert [len(passage.text.split()) for passage in passages] == [90, 30] * 2
    assert len(list(distinct(iter(passages)))) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three", ["One.", "Two!", "Three"]),
        ("See e.g. this", ["See e.g. this"]),
        ("head\n\nbody", ["head", "body"]),
        ("", []),
    ],
)
def test_texts_split_into_sentences(text, expected):
    assert sentences(text) == expected


def test_texts_that_share_an_8_gram_are_found():
    other = "Return True if the path refers to an existing file or a link."
    assert overlapping(
        [
            "return true, if the PATH refers to an 'existing' thing",
            "returns true if the path refers to a file",
            "",
            other,
        ],
        [other],
    ) == {0, 3}
    assert overlapping([other], []) == set()
