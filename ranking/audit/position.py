"""Does the place of a document in the prompt predict its place in the answer?"""

from __future__ import annotations

from collections.abc import Sequence

from ranking.audit.estimates import MeanEstimate, mean_of, mean_over_lists
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import Record


class PositionBias(Record):
    """Places in the prompt against places in the answer, over usable answers. Places are counted from 1.

    counts[i][j]: how often the document at prompt place i + 1 stood at answer place j + 1. left_out[i]: how
    often it was left out. mean_place[i]: its mean answer place where it was listed, None where it never was.
    listed[i]: the share of answers that list it.

    correlation: Spearman's, between the prompt places and the answer places of one answer's listed documents,
    averaged over lists; 1 is the prompt's order, -1 its reverse. None where no answer lists two.
    first_third, last_third: chance of being listed for documents shown in the first and the last third, in
    prompts of 3 documents or more; ratio is first by last, None where it has no value.

    Where prompts stand in the retriever's order, a good teacher's answers follow it too, because the retriever
    is right more often than not. So these numbers tell bias from relevance only where prompts were shuffled.
    """

    answers: int
    counts: list[list[int]]
    left_out: list[int]
    mean_place: list[float | None]
    listed: list[float]
    correlation: MeanEstimate | None
    first_third: float | None
    last_third: float | None
    ratio: float | None


def position_bias(answers: Sequence[ShownAnswer], seed: int) -> PositionBias | None:
    """Compare prompt and answer places; None without a usable answer."""
    usable = [shown for shown in answers if shown.usable]
    if not usable:
        return None
    places = max(shown.documents for shown in usable)
    counts = [[0] * places for _ in range(places)]
    shown_at = [sum(shown.documents > place for shown in usable) for place in range(places)]
    for shown in usable:
        for answer_place, prompt_place in enumerate(shown.answer.order):
            counts[prompt_place - 1][answer_place] += 1
    first, last = _listed_by_thirds(usable)
    rhos = [(shown.list_id, spearman(shown.answer.order)) for shown in usable if len(shown.answer.order) > 1]
    return PositionBias(
        answers=len(usable),
        counts=counts,
        left_out=[seen - sum(row) for seen, row in zip(shown_at, counts, strict=True)],
        mean_place=[
            sum(n * place for place, n in enumerate(row, start=1)) / sum(row) if any(row) else None for row in counts
        ],
        listed=[sum(row) / seen for seen, row in zip(shown_at, counts, strict=True)],
        correlation=mean_over_lists(rhos, seed),
        first_third=first,
        last_third=last,
        ratio=first / last if first is not None and last else None,
    )


def spearman(order: Sequence[int]) -> float:
    """Spearman's correlation of the distinct values of an order with their places.

        rho = 1 - 6 sum of d^2 / (n (n^2 - 1)),   d: rank of the value less its place

    order: two values or more.
    """
    rank = {value: place for place, value in enumerate(sorted(order))}
    squares = sum((rank[value] - place) ** 2 for place, value in enumerate(order))
    return 1 - 6 * squares / (len(order) * (len(order) ** 2 - 1))


def _listed_by_thirds(answers: Sequence[ShownAnswer]) -> tuple[float | None, float | None]:
    """Mean share listed of the first and of the last third of the documents shown; thirds are rounded down."""
    first, last = [], []
    for shown in answers:
        third = shown.documents // 3
        if third:
            first.append(sum(place <= third for place in shown.answer.order) / third)
            last.append(sum(place > shown.documents - third for place in shown.answer.order) / third)
    return mean_of(first), mean_of(last)
