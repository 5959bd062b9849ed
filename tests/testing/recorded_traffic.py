"""Exposures and feedback of simulated users, as the service records them."""

import numpy as np

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent

PROPENSITIES = np.array([1.0, 0.6, 0.4, 0.3])


def exposure(number, query, shown, **changes):
    """Return an exposure with the id `x<number>`."""
    values = {"experiment": "autumn", "mode": "split", "arm": "champion", "version": "v1", "key": f"k{number}"}
    return Exposure(exposure_id=f"x{number}", at=float(number), query=query, shown=shown, **{**values, **changes})


def click(number, position, kind="click"):
    """Return feedback on the exposure with the id `x<number>`, at a position from 1."""
    return FeedbackEvent(
        event_id=f"e{number}-{position}-{kind}", exposure_id=f"x{number}", at=0.0, kind=kind, position=position
    )


def record_traffic(storage, frequencies, seed=1, propensities=PROPENSITIES):
    """Record exposures of two arms, which show four documents in two orders, and the users' clicks.

    Documents d0 to d3 have the attractiveness .6, .4, .2 and .1.

    Args:
        storage: Folder of the storage root.
        frequencies: Number of exposures by query.
        seed: Seed of the clicks.
        propensities: Examination probability of each position, [4].
    """
    generator = np.random.default_rng(seed)
    attractive = np.array([0.6, 0.4, 0.2, 0.1])
    shown, events = [], []
    for query, frequency in frequencies.items():
        for number in range(frequency):
            order = list(range(4)) if number % 2 else [1, 2, 3, 0]
            arm = "champion" if number % 2 else "challenger"
            shown.append(exposure(len(shown), query, [f"d{i}" for i in order], arm=arm, version=f"v-{arm}"))
            clicked = generator.random(4) < propensities * attractive[order]
            events += [click(len(shown) - 1, position + 1) for position in np.flatnonzero(clicked).tolist()]
    half = len(shown) // 2
    place = storage / SERVING
    (place / EXPOSURES).write_rows("part-1.parquet", shown[:half])
    (place / EXPOSURES).write_rows("part-2.parquet", shown[half:])
    (place / FEEDBACK).write_rows("part-1.parquet", events)
