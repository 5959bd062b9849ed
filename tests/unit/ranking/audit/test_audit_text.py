"""The audit told in lines and drawn as a picture."""

import random
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.audit.audit_report import audit
from ranking.audit.audit_text import text_of
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


def test_the_text_of_an_idle_teacher():
    told = text_of(
        audit([answered(range(1, 21), 20, str(number)) for number in range(40)], shuffled=False, seed=1)
    ).splitlines()
    assert told[0] == "answers       40 about 40 lists, prompts not shuffled"
    assert "parse status  ok 40" in told
    assert "do-nothing    the answer is the input order in 40 of 40 answers (100.0%; chance: below 0.1%)" in told
    assert told[told.index("listed        20.0 of 20.0 documents an answer") + 2].endswith("the teacher does nothing")
    assert any("correlate at 1.00 (1.00 to 1.00): bias or relevance" in line for line in told)
    assert told[-1] == "quality       unknown: no judgements"


def test_the_text_of_a_teacher_that_orders_shuffled_prompts_by_relevance():
    generator, answers = random.Random(2), []
    for number in range(60):
        grades = dict(zip("abcde", generator.sample(range(5), 5), strict=True))
        drawn = generator.sample("abcde", 5)
        for shown in (tuple(drawn), tuple(reversed(drawn))):  # each place is as good as any: no slope by chance
            order = sorted(range(1, 6), key=lambda place: -grades[shown[place - 1]])
            answers.append(answered(order, 5, str(number), shown, grades))
    told = text_of(audit(answers, shuffled=True, seed=1))
    assert "the teacher does reorder" in told
    assert "Kendall's tau 1.00 (1.00 to 1.00)" in told
    assert "no sign of position bias" in told
    assert "nDCG@10 1.000, of the shuffled prompts" in told


@pytest.mark.parametrize(("order", "meaning"), [([1, 2, 3], "early"), ([3, 2, 1], "late")])
def test_bias_has_a_direction_where_prompts_were_shuffled(order, meaning):
    told = text_of(audit([answered(order, 3, str(number)) for number in range(9)], shuffled=True, seed=1))
    assert f"what is shown {meaning} is ranked high" in told
    assert "one list is too few to tell" in text_of(audit([answered(order, 3)], shuffled=True, seed=1))


def test_no_answers_are_told_and_drawn():
    nothing = audit([], shuffled=True, seed=1)
    assert text_of(nothing) == "answers       0 about 0 lists, prompts shuffled"
    assert "nothing to draw" in svg_of(nothing, "none")


def test_a_cell_for_every_pair_of_places_that_came_and_its_share_as_opacity():
    svg = svg_of(audit([answered([2, 1], 3), answered([2], 3), answered([1], 3)], shuffled=True, seed=1), "t")
    heat = {cell[0].text: cell.get("fill-opacity") for cell in parts(svg, "heat")}
    assert heat == {  # the largest share, 2/3, is drawn on a scale up to 75%
        "shown at 1, answered at 1: 1 of 3 (33.3%)": "0.444",
        "shown at 1, answered at 2: 1 of 3 (33.3%)": "0.444",
        "shown at 2, answered at 1: 2 of 3 (66.7%)": "0.889",
    }
    assert [cell[0].text.split(":")[0] for cell in parts(svg, "gone")] == [
        "shown at 1, left out",
        "shown at 2, left out",
        "shown at 3, left out",
    ]
    assert len(parts(svg, "dot")) == 2 + 1  # two places have a mean, and the legend shows one


@given(st.text(), st.integers(1, 30))
def test_any_title_gives_xml_that_can_be_read(title, documents):
    svg = svg_of(audit([answered(range(1, documents + 1), documents)], shuffled=True, seed=1), title)
    assert ElementTree.fromstring(svg).tag == f"{SVG}svg"


@given(st.integers(1, 200))
def test_cells_lie_within_the_picture_and_ticks_within_the_places(places):
    grid = Grid(places)
    assert grid.left_out_x + grid.left_out_width < grid.width
    assert grid.top + grid.side < grid.legend_top < grid.height
    assert grid.ticks[0] == 1
    assert grid.ticks[-1] <= places
    assert len(grid.ticks) <= 21
