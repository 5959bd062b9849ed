"""Cost estimates: extrapolation compared with values computed by hand, token counts with the teachers' tokenizers."""

import pytest

from actors.teacher_settings import ListwiseTeacherSettings, PointwiseTeacherSettings, RecordedTeacherSettings
from actors.teachers.prompt_costs import costs_of
from ranking.errors import InputError
from ranking.labels.cost_estimate import ListCost, estimate, format_estimate
from tests.testing.pre_ranked_lists import pre_ranked_list, prompt_filler
from tools.tiny_models import tiny_generator


def test_sample_is_extrapolated_to_all_lists():
    sample = [ListCost(1, 900, 50), ListCost(1, 1100, 50)]
    result = estimate(sample, lists=200, tokens_per_second=1000.0, hour_price=3.6)
    assert (result.prompts, result.prompt_tokens, result.answer_tokens) == (200, 200_000, 10_000)
    # deviation 141.4 / sqrt(2) * 1.96 * sqrt(1 - 2 / 200) * 200
    assert result.margin == pytest.approx(39_004, abs=2)
    assert result.hours == pytest.approx(210 / 3600)
    assert result.cost == pytest.approx(0.21)
    assert format_estimate(result).splitlines()[-2:] == ["time        0.06 hours of one engine", "cost        0.21"]


def test_margin_is_zero_if_every_list_is_sampled():
    result = estimate([ListCost(1, 900, 50), ListCost(1, 1100, 50)], 2, None, None)
    assert result.margin == 0
    assert (
        format_estimate(result).splitlines()[-1].startswith("time        unknown; set compute.engine_tokens_per_second")
    )


def test_listwise_cost_counts_the_tokens_of_the_real_prompts(tmp_path):
    model = tiny_generator(tmp_path)
    row = pre_ranked_list(8)
    settings = ListwiseTeacherSettings(model=str(model), orders=3)
    (one_prompt,) = costs_of(settings, [row])
    filled = prompt_filler(model).fill(row.text, [picked.candidate.text for picked in row.picked], "estimate")
    assert (one_prompt.prompts, one_prompt.prompt_tokens, one_prompt.answer_tokens) == (
        3,
        3 * len(filled.tokens),
        3 * filled.answer_tokens,
    )
    (windowed,) = costs_of(ListwiseTeacherSettings(model=str(model), window={"size": 4, "stride": 2}), [row])
    assert windowed.prompts == 3


def test_pointwise_cost_counts_every_text_and_recorded_costs_nothing():
    (cost,) = costs_of(PointwiseTeacherSettings(), [pre_ranked_list(3)])
    # [CLS] which ? q [SEP], then three times [CLS] some text n [SEP]
    assert (cost.prompts, cost.prompt_tokens) == (4, 5 + 3 * 5)
    with pytest.raises(InputError, match="costs nothing"):
        costs_of(RecordedTeacherSettings(path="x"), [])
