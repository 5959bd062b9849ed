"""Inject faults at random times while work runs, and check invariants after each fault."""

from __future__ import annotations

import abc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tools.local_cluster.processes import wait_until

MAX_WAIT_SECONDS = 400.0
_MAX_DELAY_SECONDS = 6.0
_MAX_EARLY_DELAY_SECONDS = 25.0
_EARLY_INTERVAL = 5


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: Name in tables.
        inject: Injects the fault. Returns False while there is nothing to inject it into.
        repair: Ends a lasting fault, or restarts a killed node.
        duration: Minimum and maximum seconds between injection and repair.
    """

    name: str
    inject: Callable[[], bool]
    repair: Callable[[], None] = lambda: None
    duration: tuple[float, float] = (0.0, 0.0)


@dataclass
class InjectedFault:
    """One injected fault and its effects.

    Attributes:
        work: Name of the work.
        place: Name of the storage place.
        fault: Name of the fault.
        at: Seconds from the start of the work to the fault.
        early: Whether the work was still recovering from the previous fault.
        violations: Violated invariants.
        job_errors: Last output lines of jobs that ended with an error and were restarted.
        seconds: Recovery time, from the repair until the work progresses or is done. None if the next fault came first.
    """

    work: str
    place: str
    fault: str
    at: float
    early: bool
    violations: list[str] = field(default_factory=list)
    job_errors: list[str] = field(default_factory=list)
    seconds: float | None = None


class Work(abc.ABC):
    """Work to inject faults into.

    Attributes:
        name: Name of the work, for tables.
        place: Name of the storage place, for tables.
        faults: Kinds of faults that the work must survive.
    """

    name: str
    place: str
    faults: Sequence[Fault]

    @abc.abstractmethod
    def start(self) -> None:
        """Start the work, or start it from scratch if it is done."""

    @abc.abstractmethod
    def mark_progress(self) -> object:
        """Return a mark of the current progress."""

    @abc.abstractmethod
    def has_progressed(self, mark: object) -> bool:
        """Return whether the work has progressed since a mark."""

    @abc.abstractmethod
    def done(self) -> bool:
        """Return whether the work ended successfully, and restart it if it ended with an error."""

    @abc.abstractmethod
    def violations(self) -> list[str]:
        """Check the invariants that must be true at any time."""

    @abc.abstractmethod
    def final_violations(self) -> list[str]:
        """Check the invariants that must be true once the work is done."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Wait until the work is done, or stop work that runs forever."""

    @abc.abstractmethod
    def job_errors(self) -> list[str]:
        """Return the errors of jobs that ended since the previous call."""

    @abc.abstractmethod
    def last_line(self) -> str:
        """Return the last output line, for error messages."""


def run_campaign(
    work: Work,
    count: int,
    generator: random.Random,
    injected: list[InjectedFault],
    report: Callable[[InjectedFault], None],
) -> None:
    """Inject faults into work, each a random time after the work progressed.

    Every fifth fault comes before that, during recovery. Work that is done is checked and started again.

    Args:
        work: The work.
        count: Number of faults.
        generator: Source of the order and times of the faults.
        injected: Takes each fault once it is injected.
        report: Called with each fault once its effects are known.

    Raises:
        RuntimeError: The work does not progress, or there is nothing to inject a fault into.
    """
    kinds = [work.faults[number % len(work.faults)] for number in range(count)]
    generator.shuffle(kinds)
    start = time.monotonic()
    work.start()
    _wait_for_progress(work)
    for number, fault in enumerate(kinds):
        early = _is_early(number)
        time.sleep(generator.uniform(0, _MAX_EARLY_DELAY_SECONDS if early else _MAX_DELAY_SECONDS))
        wrong: list[str] = []
        if not wait_until(lambda fault=fault, wrong=wrong: _inject(work, fault, wrong), MAX_WAIT_SECONDS):  # type: ignore[misc]
            raise RuntimeError(f"{work.name}: nothing to inject {fault.name!r} into, last line: {work.last_line()}")
        current = InjectedFault(work.name, work.place, fault.name, time.monotonic() - start, early, wrong)
        injected.append(current)
        current.violations += work.violations()
        time.sleep(generator.uniform(*fault.duration))
        fault.repair()
        repaired = time.monotonic()
        if number + 1 == count or not _is_early(number + 1):
            _wait_for_progress(work)
            current.seconds = time.monotonic() - repaired
        current.violations += work.violations()
        if number + 1 == count:
            work.finish()
            current.violations += work.final_violations()
        current.job_errors = work.job_errors()
        report(current)


def _inject(work: Work, fault: Fault, wrong: list[str]) -> bool:
    """Inject a fault if possible, and check and restart work that is done.

    Args:
        work: The work.
        fault: The fault.
        wrong: Takes the violations of work that is done.
    """
    if work.done():
        wrong += work.final_violations()
        work.start()
        _wait_for_progress(work)
    return fault.inject()


def _wait_for_progress(work: Work) -> None:
    """Wait until the work progresses or is done."""
    mark = work.mark_progress()
    if not wait_until(lambda: work.done() or work.has_progressed(mark), MAX_WAIT_SECONDS, interval=0.5):
        raise RuntimeError(
            f"{work.name} did not progress within {MAX_WAIT_SECONDS:.0f} s, last line: {work.last_line()}"
        )


def _is_early(number: int) -> bool:
    return number % _EARLY_INTERVAL == _EARLY_INTERVAL - 1
