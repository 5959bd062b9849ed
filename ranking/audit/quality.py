"""Are the answers right, by judgements of people, and better than the order that the prompt showed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranking.audit.shown_answers import ShownAnswer
from ranking.evaluation.measures import per_query
from ranking.evaluation.significance import compare
from ranking.records import Record

MEASURE = "nDCG@10"
_PERMUTATIONS = 2000


class Quality(Record):
    """nDCG@10 of the answers' orders and of their prompts' orders, averaged within lists, then over lists.

    Counted are usable answers with document ids, to lists with a relevant document; what an answer leaves out
    it does not rank. delta: answer less prompt, list by list, with the p of the paired randomisation test and
    the 95% bootstrap interval over lists. With shuffled prompts, prompt is what chance gives.
    """

    lists: int
    answers: int
    answer: float
    prompt: float
    delta: float
    p: float
    interval: tuple[float, float]


def quality(answers: Sequence[ShownAnswer], seed: int) -> Quality | None:
    """Measure answers against their grades; None where there is nothing to measure."""
    judged = {
        str(number): shown
        for number, shown in enumerate(answers)
        if shown.usable and shown.doc_ids is not None and any(grade > 0 for grade in (shown.grades or {}).values())
    }
    if not judged:
        return None
    answered = _by_list(judged, {number: shown.ranked for number, shown in judged.items()})
    prompted = _by_list(judged, {number: shown.doc_ids or () for number, shown in judged.items()})
    found = compare(answered, prompted, _PERMUTATIONS, seed)
    return Quality(
        lists=len(answered),
        answers=len(judged),
        answer=sum(answered.values()) / len(answered),
        prompt=sum(prompted.values()) / len(prompted),
        delta=found.delta,
        p=found.p,
        interval=found.interval,
    )


def _by_list(judged: Mapping[str, ShownAnswer], orders: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Mean nDCG@10 of the orders of each list."""
    grades = {number: dict(shown.grades or {}) for number, shown in judged.items()}
    run = {number: {doc_id: float(-place) for place, doc_id in enumerate(order)} for number, order in orders.items()}
    by_list: dict[str, list[float]] = {}
    for number, value in per_query(grades, run, [MEASURE])[MEASURE].items():
        by_list.setdefault(judged[number].list_id, []).append(value)
    return {list_id: sum(values) / len(values) for list_id, values in by_list.items()}
