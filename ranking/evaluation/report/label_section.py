"""What a report says of the labels and their teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ranking.evaluation.results import LabelCost
from ranking.records import Label, Tier
from ranking.runs.stages import Manifest

_PLACES = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 50), (51, None))
_TIERS: dict[Tier, str] = {
    "listed": "listed",
    "hard_negative": "hard negatives",
    "easy_negative": "easy negatives",
    "unseen": "unseen",
}


def cost_of(manifests: Sequence[Manifest], hour_price: float | None) -> LabelCost:
    """What finished labels took, and the stages that wrote rationales beside them. manifests: that of the labels first.

    hour_price: of an hour of one engine, all of which are paid for all the time; None where it is not known. What no engine read, such as
    recorded rankings, costs nothing; where that is all there is no price.
    """
    hours = sum(one.seconds / 3600 * (one.engines or 1) for one in manifests if one.tokens.prompt)
    seconds, read = sum(one.seconds for one in manifests), sum(one.tokens.prompt for one in manifests)
    return LabelCost(
        labels=manifests[0].rows_out,
        prompt_tokens=read,
        completion_tokens=sum(one.tokens.completion for one in manifests),
        seconds=seconds,
        price=None if hour_price is None or not read else hours * hour_price,
    )


def lines_of(sample: Sequence[Label], cost: LabelCost, teacher: str) -> list[str]:
    """Teacher, cost, tiers, parse_statuses and confidence. sample: labels that stand for all."""
    spent = f"{cost.prompt_tokens:,} tokens read, {cost.completion_tokens:,} written, {cost.seconds:,.0f} s"
    lines = [f"{cost.labels:,} labels of {teacher}: {spent}."]
    if cost.price is not None and cost.labels:
        lines.append(
            f"Cost: {cost.price:,.2f}, {cost.price / cost.labels * 1000:,.2f} for 1,000 labels (compute.engine_hour_price, all engines)."
        )
    if not sample:
        return lines
    tiers = Counter(candidate.tier for label in sample for candidate in label.candidates)
    parts = ", ".join(f"{tiers[tier] / len(sample):.1f} {name}" for tier, name in _TIERS.items() if tiers[tier])
    lines.append(f"A label has {tiers.total() / len(sample):.1f} documents: {parts} (mean of {len(sample):,} labels).")
    parse_statuses = Counter(label.answer.parse_status for label in sample)
    if set(parse_statuses) != {"ok"}:
        lines.append(
            "Answers: "
            + ", ".join(
                f"{count / len(sample):.1%} {parse_status}" for parse_status, count in parse_statuses.most_common()
            )
            + "."
        )
    sure = [label.confidence for label in sample if label.confidence is not None]
    if sure:
        lines.append(
            f"Confidence, agreement of the teacher's answers to several prompt orders: mean {sum(sure) / len(sure):.2f}."
        )
    return lines


def reliability_of(labels: Iterable[Label], qrels: Mapping[str, Mapping[str, int]]) -> list[tuple[str, float, int]]:
    """The share of relevant documents at each place of the teacher's order: (places, share, documents). Empty without judged labels."""
    relevant: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    for label in labels:
        grades = qrels.get(label.query_id)
        if grades is None:
            continue
        ordered = sorted(label.candidates, key=lambda c: (-c.target, c.pre_rank))
        for place, candidate in enumerate(ordered, start=1):
            band = next(i for i, (_, last) in enumerate(_PLACES) if last is None or place <= last)
            seen[band] += 1
            relevant[band] += grades.get(candidate.doc_id, 0) > 0
    return [(_name(*_PLACES[band]), relevant[band] / seen[band], seen[band]) for band in sorted(seen)]


def _name(first: int, last: int | None) -> str:
    return f"{first}+" if last is None else str(first) if first == last else f"{first}–{last}"
