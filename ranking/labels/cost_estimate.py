"""Estimate the cost of labelling from a sample of lists: prompts, tokens, hours and money."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

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
class CostEstimate:
    """Estimated cost of labelling all candidate lists.

    Attributes:
        lists: Number of lists to label.
        sampled: Number of lists in the sample.
        prompts: Number of prompts sent if no prompt is retried.
        prompt_tokens: Total number of tokens in these prompts.
        margin: Half-width of the 95% confidence interval of `prompt_tokens`.
        answer_tokens: Maximum total number of generated tokens.
        hours: Time on a single engine, in hours. None if the throughput of an engine is unknown.
        cost: Price of these hours. None if `hours` or the price per hour is unknown.
    """

    lists: int
    sampled: int
    prompts: int
    prompt_tokens: int
    margin: int
    answer_tokens: int
    hours: float | None
    cost: float | None


def estimate(
    sample: Sequence[ListCost], lists: int, tokens_per_second: float | None, hour_price: float | None
) -> CostEstimate:
    """Extrapolate the costs of a sample to all lists.

    Args:
        sample: Costs of one or more lists.
        lists: Number of lists to label.
        tokens_per_second: Throughput of one engine, in prompt and generated tokens per second. None if unknown.
        hour_price: Price per hour of the machine that runs one engine. None if unknown.
    """

    def total(values: Sequence[int]) -> int:
        return round(statistics.fmean(values) * lists)

    prompt_lengths = [cost.prompt_tokens for cost in sample]
    deviation = statistics.stdev(prompt_lengths) if len(prompt_lengths) > 1 else 0.0
    finite_correction = math.sqrt(max(0.0, 1 - len(prompt_lengths) / lists)) if lists else 0.0
    margin = round(_NORMAL_95 * deviation / math.sqrt(len(prompt_lengths)) * finite_correction * lists)
    prompt_tokens, answer_tokens = total(prompt_lengths), total([cost.answer_tokens for cost in sample])
    hours = (prompt_tokens + answer_tokens) / tokens_per_second / 3600 if tokens_per_second else None
    cost = hours * hour_price if hours is not None and hour_price is not None else None
    return CostEstimate(
        lists,
        len(prompt_lengths),
        total([c.prompts for c in sample]),
        prompt_tokens,
        margin,
        answer_tokens,
        hours,
        cost,
    )


def format_estimate(estimated: CostEstimate) -> str:
    """Format an estimate as text: one line per quantity, with its name and value, and no final newline."""
    lines = [
        ("lists", f"{estimated.lists:,} to label, {estimated.sampled:,} sampled for this estimate"),
        ("prompts", f"{estimated.prompts:,}, without retries"),
        ("read", f"{estimated.prompt_tokens:,} prompt tokens, +/- {estimated.margin:,} (95% confidence interval)"),
        ("written", f"up to {estimated.answer_tokens:,} generated tokens"),
    ]
    if estimated.hours is None:
        lines.append(("time", "unknown; set compute.engine_tokens_per_second to the measured throughput of an engine"))
    else:
        lines.append(("time", f"{estimated.hours:,.2f} hours of one engine"))
    if estimated.cost is not None:
        lines.append(("cost", f"{estimated.cost:,.2f}"))
    elif estimated.hours is not None:
        lines.append(("cost", "unknown; set compute.engine_hour_price"))
    return "\n".join(f"{name:<11} {text}" for name, text in lines)
