"""What labelling will take, from a sample: prompts, tokens, hours, money."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_NORMAL_95 = 1.96


@dataclass(frozen=True)
class ListCost:
    """What one list takes: its prompts, the tokens read, and the tokens written at most."""

    prompts: int
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class CostEstimate:
    """What some lists take. margin: half of the 95% interval of prompt_tokens. hours: of one engine; None where its speed is unknown.

    cost: None where hours or the price of one are unknown.
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
    """Extrapolate a sample of at least one list to all of them.

    tokens_per_second: that one engine reads and writes. hour_price: of one engine's machine.
    """

    def total(values: Sequence[int]) -> int:
        return round(statistics.fmean(values) * lists)

    read = [cost.prompt_tokens for cost in sample]
    deviation = statistics.stdev(read) if len(read) > 1 else 0.0
    finite = math.sqrt(max(0.0, 1 - len(read) / lists)) if lists else 0.0
    margin = round(_NORMAL_95 * deviation / math.sqrt(len(read)) * finite * lists)
    prompt_tokens, answer_tokens = total(read), total([cost.answer_tokens for cost in sample])
    hours = (prompt_tokens + answer_tokens) / tokens_per_second / 3600 if tokens_per_second else None
    cost = hours * hour_price if hours is not None and hour_price is not None else None
    return CostEstimate(
        lists, len(read), total([c.prompts for c in sample]), prompt_tokens, margin, answer_tokens, hours, cost
    )


def text_of(found: CostEstimate) -> str:
    """Tell an estimate in lines `name  sentence`, without a final newline."""
    lines = [
        ("lists", f"{found.lists:,} to label, {found.sampled:,} of them looked at"),
        ("prompts", f"{found.prompts:,}, if each is answered at once"),
        ("read", f"{found.prompt_tokens:,} tokens, give or take {found.margin:,} (95%)"),
        ("written", f"{found.answer_tokens:,} tokens at most"),
    ]
    if found.hours is None:
        lines.append(("time", "unknown; set compute.engine_tokens_per_second, what an engine was seen to do"))
    else:
        lines.append(("time", f"{found.hours:,.2f} hours of one engine"))
    if found.cost is not None:
        lines.append(("cost", f"{found.cost:,.2f}"))
    elif found.hours is not None:
        lines.append(("cost", "unknown; set compute.engine_hour_price"))
    return "\n".join(f"{name:<11} {sentence}" for name, sentence in lines)
