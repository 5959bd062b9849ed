"""What a node of a cluster tells Prometheus."""

import re
import time
import urllib.request

_SAMPLE = re.compile(r"^(\w+)\{(.*)\} ([0-9.e+-]+)$", re.MULTILINE)
_SECONDS = 30


def total(url, name, *labels):
    """The sum over the series of a name whose labels hold all that is given."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode("utf-8")
    return sum(
        float(value)
        for found, held, value in _SAMPLE.findall(text)
        if found == name and all(label in held for label in labels)
    )


def settled(url, wanted, name, *labels):
    """The sum once it is as wanted, or as it stands after half a minute: workers report it from time to time."""
    return _watched(lambda found: found == wanted, url, name, *labels)


def grown(url, before, name, *labels):
    """The sum once it is above what it was, or as it stands after half a minute."""
    return _watched(lambda found: found > before, url, name, *labels)


def _watched(enough, *asked):
    deadline = time.monotonic() + _SECONDS
    while not enough(found := total(*asked)) and time.monotonic() < deadline:
        time.sleep(1)
    return found
