"""The complete audit of a teacher's answers."""

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
from ranking.records.record import ChecksummedModel


class Audit(Record, ChecksummedModel):
    """Audit of a sample of a teacher's answers.

    Attributes:
        answers: number of answers.
        lists: number of distinct list ids.
        shuffled: whether documents were in random order in the prompts. If not, `position` mixes position bias with
            relevance.
        parse_statuses: number of answers by parse status.
        well_formed: answers with parse status `ok`.
        usable: answers that may become labels.
        listed: mean number of documents that usable answers list.
        shown: mean number of documents in the prompts of usable answers.
        idleness: how often answers copy the input order.
        agreement: agreement between answers to different prompt orders; None if no list has answers to two orders.
        position: position bias; None if there are no usable answers.
        quality: quality by human judgements; None if there are no judgements.
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
    """Audit a sample of a teacher's answers.

    Args:
        answers: answers with their prompts.
        shuffled: whether documents were in random order in the prompts.
        seed: seed of the bootstrap intervals.
    """
    parse_statuses = Counter(answer.answer.parse_status for answer in answers)
    usable = [answer for answer in answers if answer.usable]
    return Audit(
        answers=len(answers),
        lists=len({answer.list_id for answer in answers}),
        shuffled=shuffled,
        parse_statuses=dict(parse_statuses.most_common()),
        well_formed=share(parse_statuses["ok"], len(answers)),
        usable=share(len(usable), len(answers)),
        listed=mean_of([len(answer.answer.order) for answer in usable]),
        shown=mean_of([answer.documents for answer in usable]),
        idleness=idleness(answers),
        agreement=shuffle_agreement(answers, seed),
        position=position_bias(answers, seed),
        quality=quality(answers, seed),
    )
