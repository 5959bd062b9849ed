"""Measure whether the time of a key check reveals how much of a hash a wrong key shares with a valid one.

    python -m benchmarks.attacks.key_timing [--rounds 400]

Runs in this process, without a server and a network, so an attacker sees at best what the table shows. Each key file
has one crafted hash: it shares leading hexadecimal characters with the hash of the wrong key, or is the hash of that
key. All files with the same number of keys are measured in turn, in a random order in each round.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actors.serving.http_api.keys import ApiKeys

KEY = "a key that is not in the file"
SHARED = (0, 16, 63, 64)
"""Leading hexadecimal characters that the crafted hash shares with the hash of `KEY`. With 64, the key is valid."""
COUNTS = (1, 100, 10_000)
CALLS = 1000
"""Calls per timing. A timing takes about half a millisecond, far above the resolution of the clock."""
RESAMPLES = 2000


def crafted_hash(shared: int) -> str:
    """Return a hash that shares exactly `shared` leading characters with the hash of `KEY`."""
    key_hash = hashlib.sha256(KEY.encode("utf-8")).hexdigest()
    return key_hash[:shared] + "".join("0" if letter != "0" else "1" for letter in key_hash[shared:])


def key_lines(count: int, shared: int) -> str:
    """Return a key file of `count` keys with the crafted hash in the middle."""
    hashes = [hashlib.sha256(f"key {n}".encode()).hexdigest() for n in range(count)]
    hashes[count // 2] = crafted_hash(shared)
    return "".join(f"caller-{n} {one}\n" for n, one in enumerate(hashes))


def measure(count: int, rounds: int) -> dict[int, list[float]]:
    """Time the check of `KEY` against `count` keys. Returns {shared characters: seconds per call in each round}."""
    seconds: dict[int, list[float]] = {shared: [] for shared in SHARED}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        keys = {}
        for shared in SHARED:
            (folder / str(shared)).write_text(key_lines(count, shared), encoding="utf-8")
            keys[shared] = stack.enter_context(closing(ApiKeys(str(folder / str(shared)), refresh_seconds=3600)))
        for _ in range(rounds):
            for shared in random.sample(SHARED, len(SHARED)):
                seconds[shared].append(_seconds_per_call(keys[shared]))
    return seconds


def _seconds_per_call(keys: ApiKeys) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        keys.caller_of(KEY)
    return (time.perf_counter() - started) / CALLS


def median_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the median."""
    medians = sorted(statistics.median(random.choices(differences, k=len(differences))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES)]


def main() -> None:
    """Print one row for each number of keys and of shared characters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    random.seed(1)
    table = Table("keys", "shared characters", "median, µs", "interquartile range, µs", "minus 0 shared, ns (95%)")
    for count in COUNTS:
        seconds = measure(count, rounds)
        for shared, times in seconds.items():
            low, middle, high = (1e6 * quartile for quartile in statistics.quantiles(times, n=4))
            differences = [1e9 * (one - other) for one, other in zip(times, seconds[0], strict=True)]
            ends = median_interval(differences)
            difference = f"{statistics.median(differences):+.1f} ({ends[0]:+.1f} to {ends[1]:+.1f})" if shared else ""
            name = f"{shared} (valid key)" if shared == 64 else str(shared)
            table.add_row(f"{count:,}", name, f"{middle:.3f}", f"{high - low:.3f}", difference)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
