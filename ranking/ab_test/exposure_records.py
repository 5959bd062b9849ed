"""Records written by the service: rows of serving/exposures/ and serving/feedback/."""

from __future__ import annotations

from typing import Literal

from ranking.ab_test.arm_assignment import Arm, Team
from ranking.records import Record

EXPOSURES, FEEDBACK = "exposures", "feedback"
SERVING = "serving"
"""Folder under the storage root for exposures, feedback and reports."""

Mode = Literal["split", "shadow", "interleave"]


class Exposure(Record):
    """A ranking that was shown to a caller with a key.

    Attributes:
        exposure_id: unique id, which feedback refers to.
        at: Unix time in seconds.
        experiment: name of the experiment.
        mode: how the challenger takes part.
        arm: arm of the caller.
        version: version of the model, or "champion+challenger" for an interleaved order.
        key: hash of the caller's key.
        query: hash of the query, or its text.
        shown: ids of the documents in the order shown.
        share: configured share of keys that get the challenger or an interleaved order; None in shadow mode and
            without a challenger.
        teams: team that chose each document; None unless the order is interleaved.
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
