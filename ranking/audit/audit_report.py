"""The whole audit of a teacher's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ranking.audit.agreement import ShuffleAgreement, shuffle_agreement
from ranking.audit.estimates import Proportion, mean_of, share
from ranking.audit.idleness import Idleness, idleness
from ranking.audit.position import PositionBias, position_bias
from ranking.audit.quality import Quality, quality
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import ParseStatus, Record


class Audit(Record):
    """What a sample of answers says of the teacher.

    lists: how many different list ids. shuffled: whether prompts showed documents in random order; if not,
    position cannot tell bias from relevance. parse_statuses: how often each came. well_formed: answers that are ok.
    usable: answers that may become labels. listed, shown: mean documents in the order and in the prompt, over
    usable answers. agreement: None where no list was asked twice; position: None without a usable answer;
    quality: None without judgements.
    """

    answers: int
    lists: int
    shuffled: bool
    parse_statuses: dict[ParseStatus, int]
    well_formed: Proportion
    usable: Proportion
    listed: float | None
    shown: float | None
    idleness: Idleness
    agreement: ShuffleAgreement | None
    position: PositionBias | None
    quality: Quality | None


def audit(answers: Sequence[ShownAnswer], *, shuffled: bool, seed: int) -> Audit:
    """Audit answers. shuffled: whether their prompts were in random order. seed: of the resampled intervals."""
    parse_statuses = Counter(shown.answer.parse_status for shown in answers)
    usable = [shown for shown in answers if shown.usable]
    return Audit(
        answers=len(answers),
        lists=len({shown.list_id for shown in answers}),
        shuffled=shuffled,
        parse_statuses=dict(parse_statuses.most_common()),
        well_formed=share(parse_statuses["ok"], len(answers)),
        usable=share(len(usable), len(answers)),
        listed=mean_of([len(shown.answer.order) for shown in usable]),
        shown=mean_of([shown.documents for shown in usable]),
        idleness=idleness(answers),
        agreement=shuffle_agreement(answers, seed),
        position=position_bias(answers, seed),
        quality=quality(answers, seed),
    )
