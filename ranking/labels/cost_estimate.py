"""Estimate the cost of labelling from a sample of lists: prompts, tokens, hours and money."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ranking.records import TokenCounts
from ranking.token_prices import TokenPrices

_NORMAL_95 = 1.96


@dataclass(frozen=True)
class ListCost:
    """Cost of labelling one candidate list.

    Attributes:
        prompts: Number of prompts sent.
        prompt_tokens: Total number of tokens in these prompts.
        answer_tokens: Maximum total number of generated tokens.
    """

    prompts: int
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class HostedRates:
    """Prices and rate limits of a hosted model.

    Attributes:
        prices: Prices per million tokens. None if unknown.
        requests_per_minute: Rate limit. None for no limit.
        tokens_per_minute: Rate limit of prompt tokens plus the maximum of generated tokens. None for no limit.
    """

    prices: TokenPrices | None
    requests_per_minute: float | None
    tokens_per_minute: float | None

    def hours(self, prompts: int, tokens: int) -> float | None:
        """Return the minimum hours that the rate limits allow; None without limits."""
        pairs = ((prompts, self.requests_per_minute), (tokens, self.tokens_per_minute))
        minutes = [amount / limit for amount, limit in pairs if limit is not None]
        return max(minutes) / 60 if minutes else None


@dataclass(frozen=True)
class CostEstimate:
    """Estimated cost of labelling all candidate lists.

    Attributes:
        lists: Number of lists to label.
        sampled: Number of lists in the sample.
        prompts: Number of prompts sent if no prompt is retried.
        prompt_tokens: Total number of tokens in these prompts.
        margin: Half-width of the 95% confidence interval of `prompt_tokens`.
        answer_tokens: Maximum total number of generated tokens.
        hours: Time on a single engine, in hours. None if the throughput of an engine is unknown. For a hosted model,
            the time that its rate limits need.
        cost: Price of these hours. None if `hours` or the price per hour is unknown. For a hosted model, the price of
            all tokens.
        hosted: Whether the model is a hosted one.
    """

    lists: int
    sampled: int
    prompts: int
    prompt_tokens: int
    margin: int
    answer_tokens: int
    hours: float | None
    cost: float | None
    hosted: bool = False


def estimate(
    sample: Sequence[ListCost],
    lists: int,
    tokens_per_second: float | None,
    hour_price: float | None,
    hosted: HostedRates | None = None,
) -> CostEstimate:
    """Extrapolate the costs of a sample to all lists.

    Args:
        sample: Costs of one or more lists.
        lists: Number of lists to label.
        tokens_per_second: Throughput of one engine, in prompt and generated tokens per second. None if unknown.
        hour_price: Price per hour of the machine that runs one engine. None if unknown.
        hosted: Prices and rate limits of a hosted model. None for a model in vLLM.
    """

    def total(values: Sequence[int]) -> int:
        return round(statistics.fmean(values) * lists)

    prompt_lengths = [cost.prompt_tokens for cost in sample]
    deviation = statistics.stdev(prompt_lengths) if len(prompt_lengths) > 1 else 0.0
    finite_correction = math.sqrt(max(0.0, 1 - len(prompt_lengths) / lists)) if lists else 0.0
    margin = round(_NORMAL_95 * deviation / math.sqrt(len(prompt_lengths)) * finite_correction * lists)
    prompt_tokens, answer_tokens = total(prompt_lengths), total([cost.answer_tokens for cost in sample])
    prompts = total([c.prompts for c in sample])
    hours = (prompt_tokens + answer_tokens) / tokens_per_second / 3600 if tokens_per_second else None
    cost = hours * hour_price if hours is not None and hour_price is not None else None
    if hosted is not None:
        tokens = TokenCounts(prompt=prompt_tokens, completion=answer_tokens)
        hours = hosted.hours(prompts, prompt_tokens + answer_tokens)
        cost = hosted.prices.cost(tokens) if hosted.prices is not None else None
    return CostEstimate(
        lists,
        len(prompt_lengths),
        prompts,
        prompt_tokens,
        margin,
        answer_tokens,
        hours,
        cost,
        hosted is not None,
    )


def format_estimate(estimated: CostEstimate, unit: str = "lists", purpose: str = "to label") -> str:
    """Format an estimate as text: one line per quantity, with its name and value, and no final newline.

    Args:
        estimated: The estimate.
        unit: What the rows are.
        purpose: What is done with them.
    """
    lines = [
        (unit, f"{estimated.lists:,} {purpose}, {estimated.sampled:,} sampled for this estimate"),
        ("prompts", f"{estimated.prompts:,}, without retries"),
        ("read", f"{estimated.prompt_tokens:,} prompt tokens, +/- {estimated.margin:,} (95% confidence interval)"),
        ("written", f"up to {estimated.answer_tokens:,} generated tokens"),
    ]
    if estimated.hosted:
        return _text([*lines, *_hosted_lines(estimated)])
    if estimated.hours is None:
        lines.append(("time", "unknown; set compute.engine_tokens_per_second to the measured throughput of an engine"))
    else:
        lines.append(("time", f"{estimated.hours:,.2f} hours of one engine"))
    if estimated.cost is not None:
        lines.append(("cost", f"{estimated.cost:,.2f}"))
    elif estimated.hours is not None:
        lines.append(("cost", "unknown; set compute.engine_hour_price"))
    return _text(lines)


def _hosted_lines(estimated: CostEstimate) -> list[tuple[str, str]]:
    """Format time and cost of a hosted model."""
    limits = "hosted.requests_per_minute or tokens_per_minute"
    time = f"at least {estimated.hours:,.2f} hours, by the rate limits" if estimated.hours is not None else ""
    cost = f"up to {estimated.cost:,.2f}" if estimated.cost is not None else ""
    return [
        ("time", time or f"unknown; set {limits}"),
        ("cost", cost or "unknown; set hosted.input_price and output_price"),
    ]


def _text(lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<11} {text}" for name, text in lines)
