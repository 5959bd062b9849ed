"""The audit as text and as a picture."""

import random
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.audit.audit_report import audit
from ranking.audit.audit_text import format_audit
from ranking.audit.picture import svg_of
from ranking.audit.picture_scale import Grid
from ranking.audit.shown_answers import ShownAnswer
from ranking.labels.listwise_answers import ParsedAnswer

SVG = "{http://www.w3.org/2000/svg}"


def answered(order, documents, list_id="q", doc_ids=None, grades=None):
    return ShownAnswer(
        list_id, documents, ParsedAnswer("ok", tuple(order), 0, 0, documents - len(order)), doc_ids, grades
    )


def parts(svg, kind):
    return [part for part in ElementTree.fromstring(svg).iter() if part.get("class") == kind]


def test_text_for_an_idle_teacher():
    lines = format_audit(
        audit([answered(range(1, 21), 20, str(number)) for number in range(40)], shuffled=False, seed=1)
    ).splitlines()
    assert lines[0] == "answers       40 answers to 40 lists, prompts not shuffled"
    assert "parse status  ok 40" in lines
    assert "input order   40 of 40 answers equal the input order (100.0%; chance: below 0.1%)" in lines
    conclusion = lines[lines.index("listed        20.0 of 20.0 documents per answer") + 2]
    assert conclusion.endswith("the teacher copies the input order")
    assert any("answer positions 1.00 (1.00 to 1.00): position bias or relevance" in line for line in lines)
    assert lines[-1] == "quality       unknown: no human judgements"


def test_text_for_a_teacher_that_ranks_shuffled_prompts_by_relevance():
    generator, answers = random.Random(2), []
    for number in range(60):
        grades = dict(zip("abcde", generator.sample(range(5), 5), strict=True))
        drawn = generator.sample("abcde", 5)
        for shown in (tuple(drawn), tuple(reversed(drawn))):  # both directions: no correlation by chance
            order = sorted(range(1, 6), key=lambda place: -grades[shown[place - 1]])
            answers.append(answered(order, 5, str(number), shown, grades))
    text = format_audit(audit(answers, shuffled=True, seed=1))
    assert "the teacher reorders documents" in text
    assert "Kendall's tau 1.00 (1.00 to 1.00)" in text
    assert "no sign of position bias" in text
    assert "nDCG@10 1.000, shuffled prompt order" in text


@pytest.mark.parametrize(("order", "direction"), [([1, 2, 3], "early"), ([3, 2, 1], "late")])
def test_text_names_the_direction_of_position_bias(order, direction):
    text = format_audit(audit([answered(order, 3, str(number)) for number in range(9)], shuffled=True, seed=1))
    assert f"documents shown {direction} rank higher" in text
    assert "needs more than one list" in format_audit(audit([answered(order, 3)], shuffled=True, seed=1))


def test_audit_without_answers():
    empty = audit([], shuffled=True, seed=1)
    assert format_audit(empty) == "answers       0 answers to 0 lists, prompts shuffled"
    assert "No usable answers to draw" in svg_of(empty, "none")


def test_opacity_of_cells_is_their_share_on_the_scale():
    svg = svg_of(audit([answered([2, 1], 3), answered([2], 3), answered([1], 3)], shuffled=True, seed=1), "t")
    heat = {cell[0].text: cell.get("fill-opacity") for cell in parts(svg, "heat")}
    assert heat == {  # the largest share, 2/3, gives a scale up to 75%
        "prompt position 1, answer position 1: 1 of 3 (33.3%)": "0.444",
        "prompt position 1, answer position 2: 1 of 3 (33.3%)": "0.444",
        "prompt position 2, answer position 1: 2 of 3 (66.7%)": "0.889",
    }
    assert [cell[0].text.split(":")[0] for cell in parts(svg, "gone")] == [
        "prompt position 1, omitted",
        "prompt position 2, omitted",
        "prompt position 3, omitted",
    ]
    assert len(parts(svg, "dot")) == 2 + 1  # two positions with a mean, and the legend


@given(st.text(), st.integers(1, 30))
def test_any_title_gives_valid_xml(title, documents):
    svg = svg_of(audit([answered(range(1, documents + 1), documents)], shuffled=True, seed=1), title)
    assert ElementTree.fromstring(svg).tag == f"{SVG}svg"


@given(st.integers(1, 200))
def test_cells_and_ticks_stay_within_the_picture(places):
    grid = Grid(places)
    assert grid.left_out_x + grid.left_out_width < grid.width
    assert grid.top + grid.side < grid.legend_top < grid.height
    assert grid.ticks[0] == 1
    assert grid.ticks[-1] <= places
    assert len(grid.ticks) <= 21
