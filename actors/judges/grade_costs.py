"""Estimate the cost of a judge's grades from a sample of the pairs. Asks nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from actors.compute_settings import ComputeSettings
from actors.hosted.chat_requests import ChatPrompt
from actors.judges.grade_requests import PairFiller, TokenFiller
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.hosted_settings import is_hosted, rates_of
from ranking.labels.cost_estimate import CostEstimate, ListCost, estimate
from ranking.prompts.pair_prompts import load_pair_prompt
from ranking.records import PairToGrade

SAMPLED_PAIRS = 200


def estimate_grades(
    settings: LlmJudgeSettings, compute: ComputeSettings, pairs: Sequence[PairToGrade]
) -> CostEstimate | None:
    """Estimate the cost of requesting grades. A pair whose prompt is too long is not asked and costs nothing.

    Args:
        settings: Judge settings.
        compute: Compute settings, for the price of an engine.
        pairs: Pairs to request.

    Returns:
        The estimate, which counts pairs as lists; None without pairs.
    """
    if not pairs:
        return None
    filler = _filler(settings)
    sample = random.Random(settings.seed).sample(pairs, min(SAMPLED_PAIRS, len(pairs)))
    costs = [_cost(filler, pair, settings.max_tokens) for pair in sample]
    rates = rates_of(settings)
    return estimate(costs, len(pairs), compute.engine_tokens_per_second, compute.engine_hour_price, rates)


def format_grade_costs(estimated: CostEstimate | None) -> str:
    """Format an estimate in one line."""
    if estimated is None:
        return "no pairs to grade; nothing to pay"
    time = "" if estimated.hours is None else f", {'at least ' if estimated.hosted else ''}{estimated.hours:,.2f} hours"
    missing = "set hosted.input_price and output_price" if estimated.hosted else "set compute.engine_hour_price"
    cost = f"cost unknown ({missing})" if estimated.cost is None else f"cost up to {estimated.cost:,.4f}"
    read = f"{estimated.prompt_tokens:,} prompt tokens (+/- {estimated.margin:,})"
    written = f"up to {estimated.answer_tokens:,} generated tokens"
    return f"{estimated.lists:,} pairs to grade, about {read} and {written}{time}, {cost}"


def _filler(settings: LlmJudgeSettings) -> PairFiller:
    if is_hosted(settings):
        from actors.judges.hosted_judge import GradeMessageFiller

        return GradeMessageFiller(settings)
    return TokenFiller(load_pair_prompt(settings.prompt_file), settings)


def _cost(filler: PairFiller, pair: PairToGrade, answer_tokens: int) -> ListCost:
    try:
        request, _ = filler.fill(pair.query, pair.passage)
    except ValueError:
        return ListCost(prompts=0, prompt_tokens=0, answer_tokens=0)
    tokens = request.tokens if isinstance(request, ChatPrompt) else len(request)
    return ListCost(prompts=1, prompt_tokens=tokens, answer_tokens=answer_tokens)
