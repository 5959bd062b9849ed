"""Report section on the labels and their teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ranking.evaluation.results import LabelCost
from ranking.records import Label, Tier
from ranking.runs.stages import Manifest

_RANK_BANDS = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 50), (51, None))
_TIERS: dict[Tier, str] = {
    "listed": "listed",
    "hard_negative": "hard negatives",
    "easy_negative": "easy negatives",
    "unseen": "unseen",
}


def cost_of(manifests: Sequence[Manifest], hour_price: float | None) -> LabelCost:
    """Compute the cost of labels and of their rationales.

    Args:
        manifests: Manifests of the finished stages that made the labels and rationales. The first is that of the
            labels.
        hour_price: Price of one vLLM engine for one hour. All engines of a stage are paid for its whole duration. None
            if unknown.

    Returns:
        The cost. Stages without an engine, such as recorded rankings, are free, except for those of hosted models. The
        price is None if a price is unknown, or no stage used an engine or a hosted model.
    """
    spends = [one.spend for one in manifests if one.spend is not None]
    hours = [one.seconds / 3600 * one.engines for one in manifests if one.engines is not None]
    seconds, prompt_tokens = sum(one.seconds for one in manifests), sum(one.tokens.prompt for one in manifests)
    return LabelCost(
        labels=manifests[0].rows_out,
        prompt_tokens=prompt_tokens,
        completion_tokens=sum(one.tokens.completion for one in manifests),
        seconds=seconds,
        price=_price(hours, hour_price, spends),
    )


def _price(hours: Sequence[float], hour_price: float | None, spends: Sequence[float]) -> float | None:
    """Add the price of engine hours and the spends on hosted models; None if both are missing or one is unknown."""
    if not hours:
        return sum(spends) if spends else None
    return None if hour_price is None else sum(hours) * hour_price + sum(spends)


def lines_of(sample: Sequence[Label], cost: LabelCost, teacher: str) -> list[str]:
    """Describe the labels: teacher, cost, tiers, parse statuses and confidence.

    Args:
        sample: A sample of the labels. Tiers, parse statuses and confidence are computed from it.
        cost: Result of `cost_of`.
        teacher: Name of the teacher.
    """
    usage = f"{cost.prompt_tokens:,} prompt tokens, {cost.completion_tokens:,} completion tokens, {cost.seconds:,.0f} s"
    lines = [f"{cost.labels:,} labels by {teacher}: {usage}."]
    if cost.price is not None and cost.labels:
        lines.append(
            f"Cost: {cost.price:,.2f}, {cost.price / cost.labels * 1000:,.2f} per 1,000 labels "
            "(compute.engine_hour_price for all engines, token prices for hosted models)."
        )
    if not sample:
        return lines
    tiers = Counter(candidate.tier for label in sample for candidate in label.candidates)
    parts = ", ".join(f"{tiers[tier] / len(sample):.1f} {name}" for tier, name in _TIERS.items() if tiers[tier])
    lines.append(
        f"Documents per label: {tiers.total() / len(sample):.1f}, of these {parts} (mean over {len(sample):,} labels)."
    )
    parse_statuses = Counter(label.answer.parse_status for label in sample)
    if set(parse_statuses) != {"ok"}:
        lines.append(
            "Parse status of answers: "
            + ", ".join(
                f"{count / len(sample):.1%} {parse_status}" for parse_status, count in parse_statuses.most_common()
            )
            + "."
        )
    confidences = [label.confidence for label in sample if label.confidence is not None]
    if confidences:
        lines.append(
            "Mean confidence (agreement of the teacher's answers to several prompt orders): "
            f"{sum(confidences) / len(confidences):.2f}."
        )
    return lines


def reliability_of(labels: Iterable[Label], qrels: Mapping[str, Mapping[str, int]]) -> list[tuple[str, float, int]]:
    """Compute the share of relevant documents by rank in the teacher's order.

    Returns:
        (ranks, share of relevant documents, number of documents) for each band of ranks, such as "4–5". Empty if no
        labelled query is judged.
    """
    relevant: Counter[int] = Counter()
    seen: Counter[int] = Counter()
    for label in labels:
        grades = qrels.get(label.query_id)
        if grades is None:
            continue
        ordered = sorted(label.candidates, key=lambda c: (-c.target, c.pre_rank))
        for rank, candidate in enumerate(ordered, start=1):
            band = next(i for i, (_, last) in enumerate(_RANK_BANDS) if last is None or rank <= last)
            seen[band] += 1
            relevant[band] += grades.get(candidate.doc_id, 0) > 0
    return [(_band_name(*_RANK_BANDS[band]), relevant[band] / seen[band], seen[band]) for band in sorted(seen)]


def _band_name(first: int, last: int | None) -> str:
    """Format a band of ranks as "1", "4–5" or "51+"."""
    return f"{first}+" if last is None else str(first) if first == last else f"{first}–{last}"
