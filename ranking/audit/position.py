"""Position bias: whether the position of a document in the prompt predicts its position in the answer."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.audit.estimates import MeanEstimate, mean_of, mean_over_lists
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import Record


class PositionBias(Record):
    """How documents' positions in the prompt relate to their positions in usable answers. Positions start at 1.

    If prompts are in the retriever's order, even an unbiased teacher's answers correlate with it, because the retriever
    is usually right. Only with shuffled prompts do these numbers measure bias rather than relevance.

    Attributes:
        answers: number of usable answers.
        counts: counts[i][j] is the number of answers that put the document from prompt position i + 1 at answer
            position j + 1.
        left_out: for each prompt position, the number of answers that omit its document.
        mean_place: for each prompt position, the mean answer position of its document, over answers that list it; None
            if no answer does.
        listed: for each prompt position, the share of answers that list its document.
        correlation: Spearman's correlation between prompt and answer positions of the documents that an answer lists,
            averaged over lists. 1 means the prompt's order, -1 its reverse. None if no answer lists two documents.
        first_third: mean share of the documents in the first third of a prompt that the answer lists, over prompts
            with 3 or more documents; None if there are no such prompts.
        last_third: the same for the last third.
        ratio: first_third / last_third; None if undefined.
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
    """Measure how documents' prompt positions relate to their answer positions.

    Args:
        answers: answers with their prompts.
        seed: seed of the bootstrap interval.

    Returns:
        The position bias, or None if there are no usable answers.
    """
    usable = [answer for answer in answers if answer.usable]
    if not usable:
        return None
    places = max(answer.documents for answer in usable)
    counts = [[0] * places for _ in range(places)]
    totals = [sum(answer.documents > place for answer in usable) for place in range(places)]
    for answer in usable:
        for answer_place, prompt_place in enumerate(answer.answer.order):
            counts[prompt_place - 1][answer_place] += 1
    first, last = _listed_by_thirds(usable)
    rhos = [(answer.list_id, spearman(answer.answer.order)) for answer in usable if len(answer.answer.order) > 1]
    return PositionBias(
        answers=len(usable),
        counts=counts,
        left_out=[total - sum(row) for total, row in zip(totals, counts, strict=True)],
        mean_place=[
            sum(n * place for place, n in enumerate(row, start=1)) / sum(row) if any(row) else None for row in counts
        ],
        listed=[sum(row) / total for total, row in zip(totals, counts, strict=True)],
        correlation=mean_over_lists(rhos, seed),
        first_third=first,
        last_third=last,
        ratio=first / last if first is not None and last else None,
    )


def spearman(order: Sequence[int]) -> float:
    """Compute Spearman's correlation between the values of an order and their positions.

        rho = 1 - 6 * sum(d^2) / (n * (n^2 - 1)),   d: rank of a value minus its position,   n: number of values

    Args:
        order: two or more distinct values.
    """
    rank = {value: place for place, value in enumerate(sorted(order))}
    squares = sum((rank[value] - place) ** 2 for place, value in enumerate(order))
    return 1 - 6 * squares / (len(order) * (len(order) ** 2 - 1))


def _listed_by_thirds(answers: Sequence[ShownAnswer]) -> tuple[float | None, float | None]:
    """Return the mean shares of documents in the first and in the last third of prompts that the answers list.

    The size of a third is rounded down. Prompts with fewer than 3 documents are ignored.
    """
    first, last = [], []
    for answer in answers:
        third = answer.documents // 3
        if third:
            first.append(sum(place <= third for place in answer.answer.order) / third)
            last.append(sum(place > answer.documents - third for place in answer.answer.order) / third)
    return mean_of(first), mean_of(last)
