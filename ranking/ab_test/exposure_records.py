"""What the service writes down: rows of serving/exposures/ and serving/feedback/."""

from __future__ import annotations

from typing import Literal

from ranking.ab_test.arm_assignment import Arm, Team
from ranking.records import Record

EXPOSURES, FEEDBACK = "exposures", "feedback"
SERVING = "serving"
"""Folder under the storage root."""

Mode = Literal["split", "shadow", "interleave"]


class Exposure(Record):
    """An answer that a caller with a key was shown.

    at: seconds since 1970. key: its hash. query: its hash or its text. shown: ids of the documents, in their order. share: of the keys
    that were to get the challenger or the drafted order, None in shadow mode. teams: of a drafted order, whose choice each document was.
    shadow: the challenger's order, where it scored afterwards.
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
    """What a user did with an answer. position: of the document, from 1. seconds: of a dwell."""

    event_id: str
    exposure_id: str
    at: float
    kind: Literal["click", "dwell"]
    position: int
    seconds: float | None = None
