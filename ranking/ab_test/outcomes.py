"""Join exposures with feedback and sum the metrics by arm and key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ranking.ab_test.exposure_records import Exposure, FeedbackEvent

METRICS = ("CTR", "clicks", "dwell", "MRR")
"""Metrics that are computed for every exposure.

- CTR: 1 if a document was clicked at position `at` or higher up in the ranking, else 0.
- clicks: number of clicked documents.
- dwell: dwell time in seconds.
- MRR: reciprocal of the topmost clicked position, or 0 without clicks.
"""

WINS = "wins"
"""Metric of an interleaved exposure: 1 if more of the challenger's documents were clicked, -1 if fewer, 0 for a tie."""


@dataclass
class ArmSums:
    """Sums of the metrics for each key of an arm.

    Attributes:
        version: version of the model that ranked; several, joined with ", ", if it changed.
        shown: number of exposures per key, [keys].
        sums: {metric: sum over the exposures of each key}, [keys] each.
    """

    version: str
    shown: npt.NDArray[np.float64]
    sums: dict[str, npt.NDArray[np.float64]]

    @property
    def keys(self) -> int:
        """Number of keys."""
        return len(self.shown)


@dataclass
class RecordedExperiment:
    """Joined and summed records of an experiment.

    Attributes:
        arms: sums by arm.
        share: configured share of the challenger's keys; None in shadow mode or if it changed.
        mode: mode of the experiment; several, joined with ", ", if it changed.
        duplicate_rows: number of repeated exposures and events.
        unmatched_events: number of feedback events that do not belong to an exposure of this experiment.
        crossed: number of keys that have exposures in several arms.
        notes: problems to report to the reader.
    """

    arms: dict[str, ArmSums]
    share: float | None
    mode: str
    duplicate_rows: int = 0
    unmatched_events: int = 0
    crossed: int = 0
    notes: list[str] = field(default_factory=list)


def outcomes(
    exposures: Iterable[Exposure], events: Iterable[FeedbackEvent], experiment: str, at: int
) -> RecordedExperiment:
    """Join feedback events to exposures and sum the metrics by arm and key.

    Exposures or events with the same id count once. A key can be in several arms if the share changed; such keys are
    excluded and counted in `crossed`.

    Args:
        exposures: exposures of any experiments.
        events: feedback events of any experiments.
        experiment: name of the experiment.
        at: deepest position whose clicks count in CTR.
    """
    unique: dict[str, Exposure] = {}
    duplicate_rows = 0
    for row in exposures:
        if row.experiment != experiment:
            continue
        duplicate_rows += row.exposure_id in unique
        unique.setdefault(row.exposure_id, row)
    clicks: dict[str, set[int]] = {}
    dwell: dict[str, float] = {}
    seen: set[str] = set()
    unmatched_events = 0
    for event in events:
        if event.event_id in seen:
            duplicate_rows += 1
            continue
        seen.add(event.event_id)
        if event.exposure_id not in unique:
            unmatched_events += 1
        elif event.kind == "click":
            clicks.setdefault(event.exposure_id, set()).add(event.position)
        else:
            dwell[event.exposure_id] = dwell.get(event.exposure_id, 0.0) + (event.seconds or 0.0)
    arms_of: dict[str, set[str]] = {}
    for row in unique.values():
        arms_of.setdefault(row.key, set()).add(row.arm)
    crossed = {key for key, arms in arms_of.items() if len(arms) > 1}
    sums: dict[str, dict[str, dict[str, float]]] = {}
    versions: dict[str, set[str]] = {}
    for row in unique.values():
        if row.key in crossed:
            continue
        versions.setdefault(row.arm, set()).add(row.version)
        key_sums = sums.setdefault(row.arm, {}).setdefault(row.key, dict.fromkeys(("shown", *METRICS, WINS), 0.0))
        for name, value in _values(
            row, clicks.get(row.exposure_id, set()), dwell.get(row.exposure_id, 0.0), at
        ).items():
            key_sums[name] += value
    arms = {
        arm: ArmSums(
            ", ".join(sorted(versions[arm])),
            np.array([key_sums["shown"] for key_sums in keys.values()]),
            {name: np.array([key_sums[name] for key_sums in keys.values()]) for name in (*METRICS, WINS)},
        )
        for arm, keys in sums.items()
    }
    shares = {row.share for row in unique.values()}
    modes = {row.mode for row in unique.values()}
    notes = []
    if len(shares) > 1 or len(modes) > 1:
        notes.append("the share or the mode changed during the experiment; start a new experiment with another name")
    for arm, names in sorted(versions.items()):
        if len(names) > 1:
            notes.append(
                f"arm {arm} was served by {len(names)} versions ({', '.join(sorted(names))}); its results mix them"
            )
    share = next(iter(shares)) if len(shares) == 1 else None
    return RecordedExperiment(
        arms, share, ", ".join(sorted(modes)), duplicate_rows, unmatched_events, len(crossed), notes
    )


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
