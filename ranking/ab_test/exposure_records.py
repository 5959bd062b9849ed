"""Records of an A/B test that the service writes: rankings shown to users, and the users' feedback.

They are the rows of serving/exposures/ and serving/feedback/.
"""

from __future__ import annotations

from typing import Literal

from ranking.ab_test.arm_assignment import Arm, Team
from ranking.records import Record

EXPOSURES, FEEDBACK = "exposures", "feedback"
SERVING = "serving"
"""Folder under the storage root for exposures, feedback and reports."""

Mode = Literal["split", "shadow", "interleave"]


class Exposure(Record):
    """A ranking that was shown to a caller who sent an experiment key. The key determines the arm.

    Attributes:
        exposure_id: unique id, which feedback refers to.
        at: Unix time in seconds.
        experiment: name of the experiment.
        mode: how the challenger takes part: it ranks its share of the keys (`split`), scores requests without being
            shown (`shadow`), or its ranking is merged with the champion's (`interleave`).
        arm: arm of the experiment to which the caller's key is assigned.
        version: version of the model that ranked, or "champion+challenger" for an interleaved order.
        key: hash of the caller's key.
        query: hash of the query, or its text.
        shown: ids of the documents in the order shown.
        share: configured share of keys that get the challenger or an interleaved order; None in shadow mode and
            without a challenger.
        teams: for each document in `shown`, the model that contributed it to an interleaved order; None for other
            orders.
        shadow: the challenger's order in shadow mode; None if the challenger did not score the request.
    """

    exposure_id: str
    at: float
    experiment: str
    mode: Mode
    arm: Arm
    version: str
    key: str
    query: str
    shown: list[str]
    share: float | None = None
    teams: list[Team] | None = None
    shadow: list[str] | None = None


class FeedbackEvent(Record):
    """A user's action on a ranking.

    Attributes:
        event_id: unique id.
        exposure_id: id of the exposure.
        at: Unix time in seconds.
        kind: type of the action.
        position: position of the document, from 1.
        seconds: dwell time in seconds; None for clicks.
    """

    event_id: str
    exposure_id: str
    at: float
    kind: Literal["click", "dwell"]
    position: int
    seconds: float | None = None
