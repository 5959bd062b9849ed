"""From exposures and feedback to one row a key and arm: sums of what happened, and how often something was shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ranking.ab_test.exposure_records import Exposure, FeedbackEvent

METRICS = ("CTR", "clicks", "dwell", "MRR")
"""Of an exposure: whether it was clicked down to some position; clicks; seconds of dwell; the reciprocal of the first click's position."""

WINS = "wins"
"""Of a drafted exposure: 1 where more of the challenger's documents were clicked, -1 where more of the champion's, 0 else."""


@dataclass
class ArmSums:
    """Keys of an arm. shown: [keys], exposures of each; sums: of each metric, [keys]."""

    version: str
    shown: npt.NDArray[np.float64]
    sums: dict[str, npt.NDArray[np.float64]]

    @property
    def keys(self) -> int:
        return len(self.shown)


@dataclass
class RecordedExperiment:
    """What was recorded of an experiment. doubles: rows that stood twice; strangers: events about no exposure of it."""

    arms: dict[str, ArmSums]
    share: float | None
    mode: str
    doubles: int = 0
    strangers: int = 0
    crossed: int = 0
    notes: list[str] = field(default_factory=list)


def outcomes(
    exposures: Iterable[Exposure], events: Iterable[FeedbackEvent], experiment: str, at: int
) -> RecordedExperiment:
    """Fold rows of one id, join events to exposures, and add up by key and arm.

    A key that is in two arms (the share was changed on the way) is counted in `crossed` and left out.
    """
    held: dict[str, Exposure] = {}
    doubles = 0
    for row in exposures:
        if row.experiment != experiment:
            continue
        doubles += row.exposure_id in held
        held.setdefault(row.exposure_id, row)
    clicks: dict[str, set[int]] = {}
    dwell: dict[str, float] = {}
    seen: set[str] = set()
    strangers = 0
    for event in events:
        if event.event_id in seen:
            doubles += 1
            continue
        seen.add(event.event_id)
        if event.exposure_id not in held:
            strangers += 1
        elif event.kind == "click":
            clicks.setdefault(event.exposure_id, set()).add(event.position)
        else:
            dwell[event.exposure_id] = dwell.get(event.exposure_id, 0.0) + (event.seconds or 0.0)
    arms_of: dict[str, set[str]] = {}
    for row in held.values():
        arms_of.setdefault(row.key, set()).add(row.arm)
    crossed = {key for key, arms in arms_of.items() if len(arms) > 1}
    sums: dict[str, dict[str, dict[str, float]]] = {}
    versions: dict[str, set[str]] = {}
    for row in held.values():
        if row.key in crossed:
            continue
        versions.setdefault(row.arm, set()).add(row.version)
        of_key = sums.setdefault(row.arm, {}).setdefault(row.key, dict.fromkeys(("shown", *METRICS, WINS), 0.0))
        for name, value in _values(
            row, clicks.get(row.exposure_id, set()), dwell.get(row.exposure_id, 0.0), at
        ).items():
            of_key[name] += value
    arms = {
        arm: ArmSums(
            ", ".join(sorted(versions[arm])),
            np.array([held_of["shown"] for held_of in keys.values()]),
            {name: np.array([held_of[name] for held_of in keys.values()]) for name in (*METRICS, WINS)},
        )
        for arm, keys in sums.items()
    }
    shares = {row.share for row in held.values()}
    modes = {row.mode for row in held.values()}
    notes = []
    if len(shares) > 1 or len(modes) > 1:
        notes.append("the share or the mode was changed during the experiment; begin another one, with another name")
    for arm, names in sorted(versions.items()):
        if len(names) > 1:
            notes.append(
                f"arm {arm} was answered by {len(names)} versions, {', '.join(sorted(names))}: its numbers are a mixture of theirs"
            )
    share = next(iter(shares)) if len(shares) == 1 else None
    return RecordedExperiment(arms, share, ", ".join(sorted(modes)), doubles, strangers, len(crossed), notes)


def _values(row: Exposure, clicked: set[int], dwell: float, at: int) -> dict[str, float]:
    clicked = {position for position in clicked if position <= len(row.shown)}
    values = {
        "shown": 1.0,
        "CTR": float(any(position <= at for position in clicked)),
        "clicks": float(len(clicked)),
        "dwell": dwell,
        "MRR": 1.0 / min(clicked) if clicked else 0.0,
    }
    if row.teams is not None:
        won = sum(1 if row.teams[position - 1] == "challenger" else -1 for position in clicked)
        values[WINS] = float(np.sign(won))
    return values
