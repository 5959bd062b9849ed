"""Kill processes that write to storage, at random moments, and verify storage after each kill.

    python -m benchmarks.faults.kill_writers [--kills 30] [--works promotion labels] [--places disk bucket] [--seed 1]

A promotion is killed between its begin and its end. Then the champion must be one of the two models, its files must
match their checksums, and the next promotion must succeed. A process that writes the labels of recorded answers is
killed and started again until it is done. All its parts must be readable, no label may be lost, and in the end each
query has exactly one label or rejection. No Ray cluster is needed. `benchmarks.faults` kills `ray_jobs.label` itself.

Prints a table. Exits with code 1 if an invariant was violated.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from benchmarks.faults import killed_writer
from benchmarks.faults.killed_writer import STAGE
from benchmarks.faults.labelling_invariants import (
    StorageSnapshot,
    manifest_of,
    take_snapshot,
    violations_at_any_time,
    violations_at_end,
)
from benchmarks.faults.recorded_lists import write_lists, write_model
from ranking.errors import InputError
from ranking.registry import Registry
from ranking.registry_versions import verify_checksums
from ranking.runs.stages import MANIFEST
from ranking.storage.folder import PARTIAL, Folder
from tools.s3_server import BUCKET, running_s3

_START_SECONDS = 120.0


@dataclass
class KillCounts:
    """Result of a work on a storage place.

    Attributes:
        work: Name of the work.
        place: Name of the storage place.
        seconds: Seconds of the work without a kill.
        moments: Number of kills per state of storage right after the kill.
        violations: Violated invariants.
    """

    work: str
    place: str
    seconds: float = 0.0
    moments: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Writer:
    """Starts processes that write, and kills them. They are forks of a server that has imported all modules.

    Args:
        work: Name of the work.
        environment: Environment variables that the storage needs.
        generator: Source of the moments.
    """

    def __init__(self, work: str, environment: dict[str, str], generator: random.Random) -> None:
        self._work, self._environment, self._generator = work, environment, generator
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([killed_writer.__name__])

    def run(self, *arguments: str) -> float:
        """Run the work to its end. Returns the seconds that it took."""
        process, begin = self._start(arguments), time.monotonic()
        process.join()
        self._check(process)
        return time.monotonic() - begin

    def kill(self, within: float, *arguments: str) -> bool:
        """Kill the work at a random time after its begin. Returns False if it ended before.

        Args:
            within: Maximum seconds from begin to kill.
            *arguments: Arguments of the work.
        """
        process = self._start(arguments)
        time.sleep(self._generator.uniform(0, within))
        process.kill()
        process.join()
        self._check(process)
        return process.exitcode != 0

    def _start(self, arguments: tuple[str, ...]) -> ForkServerProcess:
        """Start a process, and wait until it begins to write."""
        begun = self._context.Event()
        process = self._context.Process(
            target=killed_writer.write, args=(begun, self._environment, self._work, *arguments)
        )
        process.start()
        if not begun.wait(_START_SECONDS):
            raise RuntimeError(f"{self._work}: the process did not begin to write within {_START_SECONDS:.0f} s")
        return process

    def _check(self, process: ForkServerProcess) -> None:
        if process.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{self._work}: exit code {process.exitcode}, see the traceback above")


def kill_promotions(storage: Folder, place: str, writer: Writer, kills: int, folder: Path) -> KillCounts:
    """Kill promotions that alternate between two models. Each adds a version and makes it the champion.

    Args:
        storage: Storage root of the registry.
        place: Name of the storage place.
        writer: Starts and kills the promotions.
        kills: Number of kills.
        folder: Local folder for the models.
    """
    registry, counts = Registry(storage), KillCounts("promotion", place)
    models = [write_model(folder / name, seed) for seed, name in enumerate("ab")]
    registry.promote(models[1], "first", "faults", "to be disturbed")
    counts.seconds = statistics.median(writer.run(storage.uri, models[0].uri, f"t-{n}") for n in range(3))
    for number in itertools.count():
        if counts.moments.total() == kills:
            break
        model, version = models[number % 2], f"{'ab'[number % 2]}-{number}"
        before, names = registry.champion()[0].champion, set(registry.folder.names())
        if writer.kill(counts.seconds, storage.uri, model.uri, version):
            counts.moments[_moment(registry, before, version, names)] += 1
            counts.violations += _registry_violations(registry, {before, version})
            registry.promote(model, version, "faults", "after a kill")
        counts.violations += _registry_violations(registry, {version})
    return counts


def kill_labelling(storage: Folder, place: str, writer: Writer, kills: int, folder: Path, queries: int) -> KillCounts:
    """Kill a process that labels recorded lists, and start it again until it is done; with a new run each time.

    Args:
        storage: Storage root of the runs.
        place: Name of the storage place.
        writer: Starts and kills the process.
        kills: Number of kills.
        folder: Local folder for the lists and the recorded answers.
        queries: Number of queries.
    """
    counts = KillCounts("labels", place)
    lists, recorded = write_lists(folder, queries)
    ids = {f"q{number}" for number in range(queries)}
    counts.seconds = writer.run((storage / "undisturbed").uri, lists.uri, str(recorded))
    expected = take_snapshot(storage / "undisturbed")
    number = 0
    while counts.moments.total() < kills:
        number += 1
        run, before = storage / f"run-{number}", StorageSnapshot()
        arguments = (run.uri, lists.uri, str(recorded))
        while counts.moments.total() < kills and writer.kill(counts.seconds / 2, *arguments):
            now = take_snapshot(run)
            counts.moments[_progress_of(run, now, queries)] += 1
            counts.violations += violations_at_any_time(now, before, ids)
            before = now
        writer.run(*arguments)
        now = take_snapshot(run)
        counts.violations += [*violations_at_end(now, ids, manifest_of(run)), *_differences(expected, now)]
        counts.violations += [f"unreadable part: {name}" for name in now.torn]
        counts.violations += [f"{now.partials} partial files left in {run.uri}"] if now.partials else []
    return counts


def _moment(registry: Registry, champion: str, version: str, names: set[str]) -> str:
    """Describe the state in which a kill left the registry.

    Args:
        registry: The registry.
        champion: Champion before the promotion.
        version: Version that was promoted.
        names: Files and folders of the registry before the promotion.
    """
    if registry.champion()[0].champion != champion:
        return "champion changed"
    new = set(registry.folder.names()) - names
    if version in new:
        return "version added"
    return "copy begun" if any(name.startswith(PARTIAL) for name in new) else "nothing written"


def _registry_violations(registry: Registry, allowed: set[str]) -> list[str]:
    """Check that the champion is one of the allowed versions, and that its files match their checksums."""
    try:
        champion, folder = registry.champion()
        verify_checksums(folder, champion.checksum)
    except InputError as error:
        return [str(error)]
    if champion.champion not in allowed:
        return [f"champion {champion.champion}, expected one of {', '.join(sorted(allowed))}"]
    return []


def _progress_of(run: Folder, snapshot: StorageSnapshot, queries: int) -> str:
    """Describe the state in which a kill left the labels."""
    if (run / STAGE).exists(MANIFEST):
        return "manifest written"
    progress = "all parts" if len(snapshot.done) == queries else "some parts" if snapshot.done else "no part"
    return f"{progress} and part of a file" if snapshot.partials else progress


def _differences(expected: StorageSnapshot, now: StorageSnapshot) -> list[str]:
    """Compare the labels and rejections with those of the run without kills."""
    same = expected.labels == now.labels and expected.rejected == now.rejected
    return [] if same else ["labels or rejections differ from the run without kills"]


@contextlib.contextmanager
def _storage(place: str, folder: Path) -> Iterator[tuple[Folder, dict[str, str]]]:
    """Return a storage root, and the environment variables that it needs."""
    if place == "disk":
        yield Folder(folder / "storage"), {}
        return
    with running_s3(folder / "s3.log") as variables:
        os.environ.update(variables)
        yield Folder(f"s3://{BUCKET}/kills"), variables


def run(works: list[str], places: list[str], kills: int, queries: int, seed: int, folder: Path) -> list[KillCounts]:
    """Kill writers of each work on each storage place.

    Args:
        works: `promotion`, `labels` or both.
        places: `disk`, `bucket` or both.
        kills: Number of kills per work and place.
        queries: Number of queries to label.
        seed: Seed of the moments.
        folder: Local folder for all files.
    """
    counts = []
    for place in places:
        with _storage(place, folder) as (storage, environment):
            for work in works:
                own = folder / f"{place}-{work}"
                own.mkdir()
                writer = Writer(work, environment, random.Random(f"{seed} {place} {work}"))
                if work == "promotion":
                    counts.append(kill_promotions(storage, place, writer, kills, own))
                else:
                    counts.append(kill_labelling(storage, place, writer, kills, own, queries))
                print(_line(counts[-1]), flush=True)
    return counts


def _line(counts: KillCounts) -> str:
    moments = ", ".join(f"{moment} {count}" for moment, count in counts.moments.most_common())
    cells = (counts.work, counts.place, counts.moments.total(), moments, f"{counts.seconds:.2f} s")
    return f"| {' | '.join(map(str, cells))} | {len(counts.violations)} |"


def main() -> int:
    """Run the command line. Returns the exit code: 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30, help="kills per work and storage place")
    works, places = ["promotion", "labels"], ["disk", "bucket"]
    parser.add_argument("--works", nargs="+", choices=works, default=works, help="what is killed")
    parser.add_argument("--places", nargs="+", choices=places, default=places, help="storage places")
    parser.add_argument("--queries", type=int, default=2000, help="queries to label")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    options = parser.parse_args()
    print("| work | place | kills | state after the kill | without a kill | violations |\n|---|---|---:|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        counts = run(options.works, options.places, options.kills, options.queries, options.seed, Path(folder))
    violations = [f"{one.work} on {one.place}: {line}" for one in counts for line in one.violations]
    print(*violations, sep="\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
