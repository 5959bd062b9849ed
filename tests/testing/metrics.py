"""Read Prometheus metrics from the metrics endpoint of a Ray node."""

import re
import time
import urllib.request

_SAMPLE = re.compile(r"^(\w+)\{(.*)\} ([0-9.e+-]+)$", re.MULTILINE)
_TIMEOUT_SECONDS = 30
"""Maximum wait for a change. Ray workers report their metrics periodically, so a change takes a while to show."""


def total(url, name, *labels):
    """Return the sum of a metric over all series that have the given labels, such as `version="a"`."""
    with urllib.request.urlopen(url, timeout=10) as response:
        text = response.read().decode("utf-8")
    return sum(
        float(value)
        for series, series_labels, value in _SAMPLE.findall(text)
        if series == name and all(label in series_labels for label in labels)
    )


def wait_for_total(url, expected, name, *labels):
    """Wait up to 30 s until the total has the expected value, and return the last total."""
    return _wait(lambda value: value == expected, url, name, *labels)


def wait_for_increase(url, before, name, *labels):
    """Wait up to 30 s until the total exceeds the earlier value, and return the last total."""
    return _wait(lambda value: value > before, url, name, *labels)


def _wait(reached, *series):
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not reached(value := total(*series)) and time.monotonic() < deadline:
        time.sleep(1)
    return value
