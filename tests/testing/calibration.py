"""A calibration with made-up measures."""

from ranking.calibration.calibrated_scores import Calibration
from ranking.calibration.calibration_measures import ThresholdRow


def calibration(slope=0.5, offset=-1.0, **changed):
    """Return a calibration with this slope and offset, and with other fields changed."""
    fields = {
        "source": "teacher",
        "slope": slope,
        "offset": offset,
        "queries": 12,
        "pairs": 1200,
        "relevant": 120,
        "ece_before": 0.234,
        "ece": 0.012,
        "brier_before": 0.345,
        "brier": 0.101,
        "thresholds": [
            ThresholdRow(threshold=0.5, precision=0.75, recall=0.625, kept=0.083),
            ThresholdRow(threshold=0.9, precision=None, recall=0.0, kept=0.0),
        ],
    }
    return Calibration(**(fields | changed))
