"""Killing parts of a labelling job at random moments, starting them again, and looking at storage each time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.kills.cluster import LocalCluster
from benchmarks.kills.made import start_job
from benchmarks.kills.processes import ended, kill, wait_until
from benchmarks.kills.storage import Sight, answer_parts, labelled, look, seconds_unwritten, wrong_at_any_moment
from benchmarks.kills.victims import Kind, engine_actor, engine_core, engine_node, engines
from ranking.storage import Folder

_LONGEST = 400.0
_WORKS = 6.0
_STARTS = 25.0
_EARLY_EACH = 5


@dataclass
class Kill:
    """One kill. at: seconds since the job began. early: in the start-up after the kill before, not while lists were answered.

    labels, rejected, doubled: rows on storage right after. left_over: processes of the engine that did not end with
    the victim. unwritten: seconds since the teacher's last answers were written: what it answered since is asked again,
    where the engine went. seconds: until the teacher had answered again and there were more labels; None where the next kill came first.
    """

    at: float
    kind: Kind
    early: bool
    labels: int
    rejected: int
    doubled: int
    left_over: int
    unwritten: float
    wrong: list[str]
    seconds: float | None = None


@dataclass
class Chase:
    """A job and its cluster. queries: that labelling takes in. log: file for what the job prints.

    ended_by_itself: what the job said last, each time that it ended with an error and was called again.
    """

    cluster: LocalCluster
    settings: Path
    run: str
    folder: Folder
    queries: set[str]
    log: Path
    drawn: random.Random
    sight: Sight = field(default_factory=Sight)
    ended_by_itself: list[str] = field(default_factory=list)

    def chase(self, kinds: Sequence[Kind], tell: Callable[[Kill], None]) -> list[Kill]:
        """Kill one after the other, each a random time after work was seen to go on, or, every fifth, before it was.

        Stops where the job is done. tell: called with every kill once it is known how it went on.
        """
        kills: list[Kill] = []
        self.began = time.monotonic()
        self._start_job()
        self._wait_for_work()
        for number, kind in enumerate(kinds):
            early = _is_early(number)
            time.sleep(self.drawn.uniform(0, _STARTS if early else _WORKS))
            if self._done():
                break
            struck = self._strike(kind, early)
            if (number + 1 == len(kinds) or not _is_early(number + 1)) and self._wait_for_work():
                struck.seconds = time.monotonic() - self.began - struck.at
            kills.append(struck)
            tell(struck)
        return kills

    def finish(self) -> None:
        """Wait for the end of the job; raises RuntimeError where it does not come."""
        if not wait_until(self._done, _LONGEST):
            raise RuntimeError(f"the job did not end: {_last_line(self.log)}")

    def _strike(self, kind: Kind, early: bool) -> Kill:
        victim = self._victim(kind)
        at, below = time.monotonic() - self.began, engines(self.cluster)
        unwritten = 0.0 if early or kind == "raylet" else seconds_unwritten(self.folder)
        node = victim if isinstance(victim, str) else None
        if node:
            self.cluster.kill_worker(node)
        elif isinstance(victim, psutil.Process):
            kill(victim)
        before, self.sight = self.sight, look(self.folder)
        wrong = wrong_at_any_moment(self.sight, before, self.queries)
        if kind == "driver":
            self.job.wait()
            self._start_job()
        elif node:
            self.cluster.start_worker(node)
        left = ended(below) if kind != "raylet" else []
        rows = sum(map(len, self.sight.labels.values()))
        return Kill(at, kind, early, rows, self.sight.rejected.total(), self.sight.doubled, len(left), unwritten, wrong)

    def _victim(self, kind: Kind) -> psutil.Process | str:
        """Wait until there is a process to kill, or a node."""
        find: dict[Kind, Callable[[], psutil.Process | str | None]] = {
            "driver": lambda: psutil.Process(self.job.pid),
            "raylet of the engine": lambda: engine_node(self.cluster),
            "raylet": self._idle_node,
            "engine actor": lambda: engine_actor(self.cluster),
            "engine core": lambda: engine_core(self.cluster),
        }
        found: list[psutil.Process | str] = []

        def look_for_it() -> bool:
            victim = find[kind]()
            found.extend([victim] if victim is not None else [])
            return bool(found) or self._done()

        if not wait_until(look_for_it, _LONGEST) or not found:
            raise RuntimeError(f"there is no {kind} to kill: {_last_line(self.log)}")
        return found[0]

    def _idle_node(self) -> str | None:
        """A worker that the engine is not on."""
        node = engine_node(self.cluster)
        return next((address for address in self.cluster.raylets() if node and address != node), None)

    def _wait_for_work(self) -> bool:
        """Wait until there are new answers, and more labels; returns whether they came before the job was done.

        Labels alone say nothing: the last ones of an engine that is dead may still be on their way.
        """
        answers, rows = answer_parts(self.folder), labelled(self.folder)

        def works() -> bool:
            return bool(answer_parts(self.folder) - answers) and labelled(self.folder) > rows

        if not wait_until(lambda: works() or self._done(), _LONGEST):
            raise RuntimeError(f"work did not go on: {_last_line(self.log)}")
        return self.job.poll() is None

    def _done(self) -> bool:
        """Whether the job ended well; one that ended with an error is called again, as its user would."""
        if self.job.poll() in (None, 0):
            return self.job.poll() == 0
        self.ended_by_itself.append(_last_line(self.log))
        self._start_job()
        return False

    def _start_job(self) -> None:
        self.job = start_job(self.settings, self.run, self.cluster.driver_environment, self.log)


def _is_early(number: int) -> bool:
    return number % _EARLY_EACH == _EARLY_EACH - 1


def _last_line(log: Path) -> str:
    return (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
