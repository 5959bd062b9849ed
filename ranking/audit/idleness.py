"""Does the teacher do anything, or does it give the prompt's order back?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ranking.audit.estimates import Proportion, mean_of, share
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import Record

LEAST_LISTED = 3
IDLE_LEVEL = 0.5


class Idleness(Record):
    """How often the answer is the prompt's order.

    identity: usable answers that list every document as shown, of all answers. in_order: answers whose listed
    documents stand as shown, of the usable ones that list 3 or more (below that, chance is too often in
    order). chance: of in_order, for a teacher to whom all orders of what it lists are alike: the mean of
    1 / listed!. identity_chance: the mean of 1 / documents!, for one that leaves nothing out. does_nothing:
    the lower end of in_order's interval is above one half, which is at least three times what chance gives.
    """

    identity: Proportion
    identity_chance: float | None
    in_order: Proportion
    chance: float | None
    does_nothing: bool


def idleness(answers: Sequence[ShownAnswer]) -> Idleness:
    """Count the answers that repeat their prompt. A list of one document has no order and is no identity."""
    telling = [shown for shown in answers if shown.usable and len(shown.answer.order) >= LEAST_LISTED]
    in_order = share(sum(_stands_as_shown(shown) for shown in telling), len(telling))
    several = [shown for shown in answers if shown.documents > 1]
    whole = [shown for shown in several if shown.usable and len(shown.answer.order) == shown.documents]
    return Idleness(
        identity=share(sum(_stands_as_shown(shown) for shown in whole), len(several)),
        identity_chance=mean_of([_chance(shown.documents) for shown in several]),
        in_order=in_order,
        chance=mean_of([_chance(len(shown.answer.order)) for shown in telling]),
        does_nothing=in_order.interval is not None and in_order.interval[0] > IDLE_LEVEL,
    )


def _stands_as_shown(shown: ShownAnswer) -> bool:
    return list(shown.answer.order) == sorted(shown.answer.order)


def _chance(documents: int) -> float:
    """1 / documents!, without overflow for long lists."""
    return math.exp(-math.lgamma(documents + 1))
