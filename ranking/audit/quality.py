"""Quality by human judgements: nDCG@10 of a teacher's answers compared with that of the documents' prompt order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranking.audit.shown_answers import ShownAnswer
from ranking.evaluation.measures import per_query
from ranking.evaluation.significance import compare
from ranking.records import Record

MEASURE = "nDCG@10"
_PERMUTATIONS = 2000


class Quality(Record):
    """nDCG@10 of the orders in the answers and in their prompts, averaged within lists, then over lists.

    An answer counts as judged if it is usable, its document ids are known and its query has a relevant document.
    Documents that an answer omits are not ranked.

    Attributes:
        lists: number of lists with judged answers.
        answers: number of judged answers.
        answer: nDCG@10 of the order in the answers.
        prompt: nDCG@10 of the order in the prompts. If prompts were shuffled, this is a random order.
        delta: answer minus prompt.
        p: p-value of the paired randomisation test over lists.
        interval: 95% bootstrap interval of delta over lists.
    """

    lists: int
    answers: int
    answer: float
    prompt: float
    delta: float
    p: float
    interval: tuple[float, float]


def quality(answers: Sequence[ShownAnswer], seed: int) -> Quality | None:
    """Measure nDCG@10 of answers and of their prompts, by the relevance grades of the documents.

    Args:
        answers: answers with their prompts and grades.
        seed: seed of the test and the bootstrap.

    Returns:
        The quality, or None if there are no judged answers.
    """
    judged = {
        str(number): shown
        for number, shown in enumerate(answers)
        if shown.usable and shown.doc_ids is not None and any(grade > 0 for grade in (shown.grades or {}).values())
    }
    if not judged:
        return None
    answered = _by_list(judged, {number: shown.ranked for number, shown in judged.items()})
    prompted = _by_list(judged, {number: shown.doc_ids or () for number, shown in judged.items()})
    comparison = compare(answered, prompted, _PERMUTATIONS, seed)
    return Quality(
        lists=len(answered),
        answers=len(judged),
        answer=sum(answered.values()) / len(answered),
        prompt=sum(prompted.values()) / len(prompted),
        delta=comparison.delta,
        p=comparison.p,
        interval=comparison.interval,
    )


def _by_list(judged: Mapping[str, ShownAnswer], orders: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Compute the mean nDCG@10 of each list.

    Args:
        judged: judged answers by answer number.
        orders: document ids, best first, by answer number.

    Returns:
        {list_id: mean nDCG@10 of the orders of this list}.
    """
    grades = {number: dict(shown.grades or {}) for number, shown in judged.items()}
    run = {number: {doc_id: float(-place) for place, doc_id in enumerate(order)} for number, order in orders.items()}
    by_list: dict[str, list[float]] = {}
    for number, value in per_query(grades, run, [MEASURE])[MEASURE].items():
        by_list.setdefault(judged[number].list_id, []).append(value)
    return {list_id: sum(values) / len(values) for list_id, values in by_list.items()}
