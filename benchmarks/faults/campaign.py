"""Faults at random moments in work that goes on, and after each of them a look at what may never be."""

from __future__ import annotations

import abc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.faults.processes import wait_until

LONGEST = 400.0
_WORKS = 6.0
_STARTS = 25.0
_EARLY_EACH = 5


@dataclass(frozen=True)
class Fault:
    """strike: returns False while there is nothing to strike. mend: ends a fault that lasts, or starts a node again. lasts: seconds."""

    name: str
    strike: Callable[[], bool]
    mend: Callable[[], None] = lambda: None
    lasts: tuple[float, float] = (0.0, 0.0)


@dataclass
class InjectedFault:
    """One fault. at: seconds since the work began. early: in the start-up after the fault before, not while work went on.

    said: last lines of jobs that ended by themselves with an error and were called again. wrong: invariants that were broken.
    seconds: from the fault's end until new work was seen, or the job done; None where the next fault came first.
    """

    work: str
    place: str
    fault: str
    at: float
    early: bool
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    seconds: float | None = None


class Work(abc.ABC):
    """What is disturbed. name, place: for the table."""

    name: str
    place: str
    faults: Sequence[Fault]

    @abc.abstractmethod
    def start(self) -> None:
        """Start it, or start it anew where it is done."""

    @abc.abstractmethod
    def mark(self) -> object:
        """How far it is."""

    @abc.abstractmethod
    def moved(self, mark: object) -> bool:
        """Whether there is new work since a mark."""

    @abc.abstractmethod
    def done(self) -> bool:
        """Whether it ended well; where it ended with an error it is called again."""

    @abc.abstractmethod
    def wrong_now(self) -> list[str]:
        """What may be at no moment."""

    @abc.abstractmethod
    def wrong_at_the_end(self) -> list[str]:
        """What may not be once it is done."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Wait for its end, or stop what has none."""

    @abc.abstractmethod
    def heard(self) -> list[str]:
        """What was said since the last time by jobs that ended with an error."""

    @abc.abstractmethod
    def state(self) -> str:
        """Its last line, for an error."""


def disturb(
    work: Work, count: int, drawn: random.Random, struck: list[InjectedFault], tell: Callable[[InjectedFault], None]
) -> None:
    """Strike so many times, each a random time after work was seen to go on, or, every fifth, before it was.

    Work that is done is looked at and started anew. struck: takes every fault. tell: called with it once it is known how it went
    on. Raises RuntimeError where work does not go on.
    """
    kinds = [work.faults[number % len(work.faults)] for number in range(count)]
    drawn.shuffle(kinds)
    began = time.monotonic()
    work.start()
    _wait_for_work(work)
    for number, fault in enumerate(kinds):
        early = _is_early(number)
        time.sleep(drawn.uniform(0, _STARTS if early else _WORKS))
        found: list[str] = []
        if not wait_until(lambda fault=fault, found=found: _struck(work, fault, found), LONGEST):  # type: ignore[misc]
            raise RuntimeError(f"{work.name}: nothing to strike with {fault.name!r}: {work.state()}")
        now = InjectedFault(work.name, work.place, fault.name, time.monotonic() - began, early, found)
        struck.append(now)
        now.wrong += work.wrong_now()
        time.sleep(drawn.uniform(*fault.lasts))
        fault.mend()
        mended = time.monotonic()
        if number + 1 == count or not _is_early(number + 1):
            _wait_for_work(work)
            now.seconds = time.monotonic() - mended
        now.wrong += work.wrong_now()
        if number + 1 == count:
            work.finish()
            now.wrong += work.wrong_at_the_end()
        now.said = work.heard()
        tell(now)


def _struck(work: Work, fault: Fault, found: list[str]) -> bool:
    """Strike if there is something to strike. Work that is done is looked at and started anew. found: takes what is wrong with it."""
    if work.done():
        found += work.wrong_at_the_end()
        work.start()
        _wait_for_work(work)
    return fault.strike()


def _wait_for_work(work: Work) -> None:
    """Until there is new work, or it is done."""
    mark = work.mark()
    if not wait_until(lambda: work.done() or work.moved(mark), LONGEST, every=0.5):
        raise RuntimeError(f"{work.name} did not go on: {work.state()}")


def _is_early(number: int) -> bool:
    return number % _EARLY_EACH == _EARLY_EACH - 1
