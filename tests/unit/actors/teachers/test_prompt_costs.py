"""Cost estimates: extrapolation compared with values computed by hand, token counts with the teachers' tokenizers."""

import pytest

from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.prompt_costs import costs_of
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.errors import InputError
from ranking.labels.cost_estimate import HostedRates, ListCost, estimate, format_estimate
from ranking.prompts import load_prompt
from ranking.token_prices import TokenPrices
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


def test_hosted_cost_has_the_prices_of_tokens_and_the_time_of_rate_limits():
    rates = HostedRates(TokenPrices(2.0, 10.0), requests_per_minute=10, tokens_per_minute=1500)
    result = estimate([ListCost(1, 900, 50), ListCost(1, 1100, 50)], 200, 1.0, 1.0, rates)
    assert result.cost == pytest.approx((200_000 * 2 + 10_000 * 10) / 1e6)
    assert result.hours == pytest.approx(210_000 / 1500 / 60)  # the limit of requests allows 20 minutes
    assert format_estimate(result).splitlines()[-2:] == [
        "time        at least 2.33 hours, by the rate limits",
        "cost        up to 0.50",
    ]
    unknown = format_estimate(estimate([ListCost(1, 900, 50)], 1, 1.0, 1.0, HostedRates(None, None, None)))
    assert [line[:20] for line in unknown.splitlines()[-2:]] == ["time        unknown;", "cost        unknown;"]


def test_hosted_prompts_are_counted_by_their_bytes_or_by_a_tokenizer(tmp_path):
    model = tiny_generator(tmp_path)
    row = pre_ranked_list(8)

    def cost(**hosted):
        settings = ListwiseTeacherSettings(model="m", backend="openai", hosted={"url": "http://h/v1", **hosted})
        return costs_of(settings, [row])[0]

    filled = prompt_filler(model).fill(row.text, [picked.candidate.text for picked in row.picked], "estimate")
    assert cost(tokenizer=str(model)).prompt_tokens == len(filled.tokens)
    messages = load_prompt().messages(row.text, [picked.candidate.text for picked in row.picked], "estimate")
    assert cost().prompt_tokens == sum(-(-len(message["content"].encode()) // 4) + 4 for message in messages)
    assert cost(max_output_tokens=7).answer_tokens == 7


def test_pointwise_cost_counts_every_text_and_recorded_costs_nothing():
    (cost,) = costs_of(PointwiseTeacherSettings(), [pre_ranked_list(3)])
    # [CLS] which ? q [SEP], then three times [CLS] some text n [SEP]
    assert (cost.prompts, cost.prompt_tokens) == (4, 5 + 3 * 5)
    with pytest.raises(InputError, match="costs nothing"):
        costs_of(RecordedTeacherSettings(path="x"), [])
