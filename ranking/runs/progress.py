"""Progress that a person can follow: a live bar on a terminal, plain lines elsewhere, a line per finished stage."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from ranking.runs.stall_warning import StallWarning

PLAIN_LINE_SECONDS = 15.0
_log = logging.getLogger("rradistill")
QUIET_SECONDS = 300.0


class Bar(Protocol):
    """A stage's bar."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count steps done; note is shown beside the rate."""


class Progress:
    """Prints to standard output. terminal: whether it is one; None to look.

    explain: says why a bar may stand still; asked after `quiet` seconds without a step, and after twice as many again. at: the
    stage that is at work, or was the last to say something.
    """

    def __init__(self, console: Console | None = None, terminal: bool | None = None) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.terminal = self.console.is_terminal if terminal is None else terminal
        self.explain: Callable[[], str] | None = None
        self.quiet = QUIET_SECONDS
        self.at: str | None = None

    def line(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, markup=False)

    def stage(self, name: str, text: str) -> None:
        """Print the line that ends a stage."""
        self.at = name or self.at
        _log.info("%s: %s", name or "note", text)
        self.line(f"{name:<11} {text}")

    @contextmanager
    def bar(self, name: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a bar of total steps while the block runs; where it stands still, say why if that is known (`explain`)."""
        self.at = name
        if self.explain is None:
            with self._bar(name, total, unit) as bar:
                yield bar
            return
        standstill = StallWarning(self.quiet, lambda seconds: self._say_why(name, seconds))
        try:
            with self._bar(name, total, unit) as bar:
                yield _WatchedBar(bar, standstill)
        finally:
            standstill.end()

    @contextmanager
    def _bar(self, name: str, total: int, unit: str) -> Iterator[Bar]:
        if self.terminal:
            with _rich(self.console) as display:
                task = display.add_task(f"{name:<11}", total=total, rate="starting", note="")
                yield _LiveBar(display, task, unit, total)
        else:
            yield _PlainBar(self, name, unit, total)

    def _say_why(self, name: str, seconds: float) -> None:
        if self.explain is not None:
            self.stage(name, f"nothing for {clock(seconds)}: {self.explain()}")


class _WatchedBar:
    def __init__(self, bar: Bar, standstill: StallWarning) -> None:
        self.bar, self.standstill = bar, standstill

    def advance(self, steps: int = 1, note: str = "") -> None:
        if steps:
            self.standstill.move()
        self.bar.advance(steps, note)


class _LiveBar:
    def __init__(self, display: RichProgress, task: TaskID, unit: str, total: int) -> None:
        self.display, self.task, self.meter = display, task, _Meter(unit, total)

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.meter.add(steps)
        self.display.update(self.task, advance=steps, rate=self.meter.rate(), note=note)


class _PlainBar:
    def __init__(self, progress: Progress, name: str, unit: str, total: int) -> None:
        self.progress, self.name, self.meter = progress, name, _Meter(unit, total)
        self.printed = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.meter.add(steps)
        if time.monotonic() - self.printed >= PLAIN_LINE_SECONDS:
            self.printed = time.monotonic()
            self.progress.stage(self.name, f"{self.meter.done}/{self.meter.total} {self.meter.rate()} {note}".rstrip())


class _Meter:
    """Counts steps and tells rate and time left; the clock starts with the first step, not with the start-up."""

    def __init__(self, unit: str, total: int) -> None:
        self.unit, self.total, self.done = unit, total, 0
        self.first: tuple[float, int] | None = None

    def add(self, steps: int) -> None:
        self.done += steps
        if self.first is None:
            self.first = (time.monotonic(), self.done)

    def rate(self) -> str:
        assert self.first is not None
        seconds, since = time.monotonic() - self.first[0], self.done - self.first[1]
        if seconds <= 0 or since <= 0:
            return self.unit
        rate = since / seconds
        return f"{self.unit}, {rate:.1f}/s, {clock((self.total - self.done) / rate)} left"


def clock(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _rich(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed}/{task.total} {task.fields[rate]} {task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
