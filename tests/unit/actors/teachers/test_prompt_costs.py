"""What labelling will take, by hand and by the teachers' own tokenizers."""

import pytest

from actors.settings import ListwiseTeacherSettings, PointwiseTeacherSettings, RecordedTeacherSettings
from actors.teachers.prompt_costs import costs_of
from ranking.errors import InputError
from ranking.labels.cost_estimate import ListCost, estimate, text_of
from tests.unit.actors.teachers.test_listwise import filler, listing
from tools.tiny_models import tiny_generator


def test_a_sample_is_extrapolated_by_hand():
    sample = [ListCost(1, 900, 50), ListCost(1, 1100, 50)]
    found = estimate(sample, lists=200, tokens_per_second=1000.0, hour_price=3.6)
    assert (found.prompts, found.prompt_tokens, found.answer_tokens) == (200, 200_000, 10_000)
    # deviation 141.4 / sqrt(2) * 1.96 * sqrt(1 - 2 / 200) * 200
    assert found.margin == pytest.approx(39_004, abs=2)
    assert found.hours == pytest.approx(210 / 3600)
    assert found.cost == pytest.approx(0.21)
    assert text_of(found).splitlines()[-2:] == ["time        0.06 hours of one engine", "cost        0.21"]


def test_looking_at_every_list_leaves_no_margin():
    found = estimate([ListCost(1, 900, 50), ListCost(1, 1100, 50)], 2, None, None)
    assert found.margin == 0
    assert text_of(found).splitlines()[-1].startswith("time        unknown; set compute.engine_tokens_per_second")


def test_a_listwise_teacher_is_counted_with_the_prompts_that_it_will_be_sent(tmp_path):
    model = tiny_generator(tmp_path)
    row = listing(8)
    settings = ListwiseTeacherSettings(model=str(model), orders=3)
    (once,) = costs_of(settings, [row])
    filled = filler(model).fill(row.text, [picked.candidate.text for picked in row.picked], "estimate")
    assert (once.prompts, once.prompt_tokens, once.answer_tokens) == (
        3,
        3 * len(filled.tokens),
        3 * filled.answer_tokens,
    )
    (windowed,) = costs_of(ListwiseTeacherSettings(model=str(model), window={"size": 4, "stride": 2}), [row])
    assert windowed.prompts == 3


def test_a_pointwise_teacher_reads_every_text_and_a_recorded_one_costs_nothing():
    (cost,) = costs_of(PointwiseTeacherSettings(), [listing(3)])
    # [CLS] which ? q [SEP], and three times [CLS] some text n [SEP]
    assert (cost.prompts, cost.prompt_tokens) == (4, 5 + 3 * 5)
    with pytest.raises(InputError, match="costs nothing"):
        costs_of(RecordedTeacherSettings(path="x"), [])
