"""What a node of a cluster tells Prometheus while something runs."""

import re
import threading
import urllib.request

_SAMPLE = re.compile(r"^(\w+)\{(.*)\} ([0-9.e+-]+)$", re.MULTILINE)


class MetricsWatch(threading.Thread):
    """Scrapes again and again, since metrics of processes that ended go; highest holds the highest value of each series."""

    def __init__(self, url, prefix):
        super().__init__(daemon=True)
        self.url, self.prefix, self.ended, self.highest = url, prefix, threading.Event(), {}

    def run(self):
        while not self.ended.wait(0.5):
            try:
                with urllib.request.urlopen(self.url, timeout=5) as answer:
                    text = answer.read().decode("utf-8")
            except OSError:
                continue
            for name, labels, value in _SAMPLE.findall(text):
                if name.startswith(self.prefix):
                    self.highest[name, labels] = max(float(value), self.highest.get((name, labels), 0.0))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()

    def total(self, name, *labels):
        """The sum over the series of a name whose labels hold all that is given."""
        return sum(value for (found, held), value in self.highest.items() if found == name and all(label in held for label in labels))
