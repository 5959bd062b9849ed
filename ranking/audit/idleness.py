"""Detect idle teachers, which return the documents in the order of the prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ranking.audit.estimates import Proportion, mean_of, share
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import Record

MIN_LISTED = 3
"""Minimum number of documents in an answer that counts for `in_order`.

Shorter answers are too often in input order by chance.
"""

IDLE_LEVEL = 0.5
"""A teacher is idle if the 95% interval of `in_order`, its share of answers in input order, is entirely above this."""


class Idleness(Record):
    """How often answers repeat the order of the prompt.

    Attributes:
        identity: share of usable answers that list every document in input order, among all answers (usable or not)
            to prompts with two or more documents.
        identity_chance: expected value of `identity` for a teacher that orders all documents at random: the mean of
            1 / n!, where n is the number of documents in the prompt.
        in_order: share of answers that keep the listed documents in input order, among usable answers that list 3 or
            more documents.
        chance: expected value of `in_order` for a teacher that orders its listed documents at random: the mean of
            1 / n!, where n is the number of listed documents.
        does_nothing: whether the teacher is idle: the lower end of the interval of `in_order` is above one half. This
            is at least three times `chance`.
    """

    identity: Proportion
    identity_chance: float | None
    in_order: Proportion
    chance: float | None
    does_nothing: bool


def idleness(answers: Sequence[ShownAnswer]) -> Idleness:
    """Compute how often answers repeat the order of their prompt. Prompts with one document are ignored."""
    long_enough = [answer for answer in answers if answer.usable and len(answer.answer.order) >= MIN_LISTED]
    in_order = share(sum(_keeps_input_order(answer) for answer in long_enough), len(long_enough))
    several = [answer for answer in answers if answer.documents > 1]
    complete = [answer for answer in several if answer.usable and len(answer.answer.order) == answer.documents]
    return Idleness(
        identity=share(sum(_keeps_input_order(answer) for answer in complete), len(several)),
        identity_chance=mean_of([_chance(answer.documents) for answer in several]),
        in_order=in_order,
        chance=mean_of([_chance(len(answer.answer.order)) for answer in long_enough]),
        does_nothing=in_order.interval is not None and in_order.interval[0] > IDLE_LEVEL,
    )


def _keeps_input_order(answer: ShownAnswer) -> bool:
    return list(answer.answer.order) == sorted(answer.answer.order)


def _chance(documents: int) -> float:
    """Return 1 / documents!, without overflow for long lists."""
    return math.exp(-math.lgamma(documents + 1))
