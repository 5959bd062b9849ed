"""Progress output: a live bar on a terminal, plain lines elsewhere, and one line per finished stage."""

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
from ranking.terminal_text import printable

PLAIN_LINE_SECONDS = 15.0
"""Minimum seconds between progress lines if the output is not a terminal."""

STALL_WARNING_SECONDS = 300.0
"""Default seconds without progress before a stall warning."""

_log = logging.getLogger("rradistill")


class Bar(Protocol):
    """Progress bar of a stage."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Advance by a number of steps. The note is shown beside the rate."""


class Progress:
    """Print progress, to standard output by default.

    Args:
        console: Console to print to.
        terminal: Whether the output is a terminal. None detects it.

    Attributes:
        explain: Function that returns the likely reason for a stall. It is called after `stall_warning_seconds` seconds
            without progress, then at doubling intervals. None disables stall warnings.
        stall_warning_seconds: Seconds without progress before the first stall warning.
        current_stage: Name of the current stage, or of the last stage that printed a line. None before the first stage.
    """

    def __init__(self, console: Console | None = None, terminal: bool | None = None) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.terminal = self.console.is_terminal if terminal is None else terminal
        self.explain: Callable[[], str] | None = None
        self.stall_warning_seconds = STALL_WARNING_SECONDS
        self.current_stage: str | None = None

    def line(self, text: str) -> None:
        """Print one line. Control characters are shown as escapes."""
        self.console.print(printable(text), markup=False)

    def stage(self, name: str, text: str) -> None:
        """Print and log a line about a stage. If `name` is empty, the line is about no stage."""
        self.current_stage = name or self.current_stage
        _log.info("%s: %s", name or "note", text)
        self.line(f"{name:<11} {text}")

    @contextmanager
    def bar(self, name: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a bar of `total` steps while the block runs. Warns about stalls if `explain` is set."""
        self.current_stage = name
        if self.explain is None:
            with self._bar(name, total, unit) as bar:
                yield bar
            return
        stall_warning = StallWarning(self.stall_warning_seconds, lambda seconds: self._warn(name, seconds))
        try:
            with self._bar(name, total, unit) as bar:
                yield _WatchedBar(bar, stall_warning)
        finally:
            stall_warning.stop()

    @contextmanager
    def _bar(self, name: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a live bar on a terminal, plain lines elsewhere."""
        if self.terminal:
            with _rich(self.console) as display:
                task = display.add_task(f"{name:<11}", total=total, rate="starting", note="")
                yield _LiveBar(display, task, unit, total)
        else:
            yield _PlainBar(self, name, unit, total)

    def _warn(self, name: str, seconds: float) -> None:
        """Print a stall warning with its reason."""
        if self.explain is not None:
            self.stage(name, f"no progress for {clock(seconds)}: {self.explain()}")


class _WatchedBar:
    """Wrap a bar and report its progress to a `StallWarning`."""

    def __init__(self, bar: Bar, stall_warning: StallWarning) -> None:
        self.bar, self.stall_warning = bar, stall_warning

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Advance the bar. Resets the stall warning unless `steps` is 0."""
        if steps:
            self.stall_warning.reset()
        self.bar.advance(steps, note)


class _LiveBar:
    """A bar that updates in place on a terminal."""

    def __init__(self, display: RichProgress, task: TaskID, unit: str, total: int) -> None:
        self.display, self.task, self.meter = display, task, _Meter(unit, total)

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Advance the bar."""
        self.meter.add(steps)
        self.display.update(self.task, advance=steps, rate=self.meter.rate(), note=printable(note))


class _PlainBar:
    """A bar that prints at most one line per `PLAIN_LINE_SECONDS`."""

    def __init__(self, progress: Progress, name: str, unit: str, total: int) -> None:
        self.progress, self.name, self.meter = progress, name, _Meter(unit, total)
        self.printed = time.monotonic()

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count the steps and print a line if one is due."""
        self.meter.add(steps)
        if time.monotonic() - self.printed >= PLAIN_LINE_SECONDS:
            self.printed = time.monotonic()
            self.progress.stage(self.name, f"{self.meter.done}/{self.meter.total} {self.meter.rate()} {note}".rstrip())


class _Meter:
    """Count steps and compute the rate and remaining time.

    The clock starts at the first call of `add`, so start-up time does not count.
    """

    def __init__(self, unit: str, total: int) -> None:
        self.unit, self.total, self.done = unit, total, 0
        self.first: tuple[float, int] | None = None

    def add(self, steps: int) -> None:
        """Count steps."""
        self.done += steps
        if self.first is None:
            self.first = (time.monotonic(), self.done)

    def rate(self) -> str:
        """Format the unit, steps per second and remaining time. Before the second call of `add`, only the unit."""
        assert self.first is not None
        seconds, since = time.monotonic() - self.first[0], self.done - self.first[1]
        if seconds <= 0 or since <= 0:
            return self.unit
        rate = since / seconds
        return f"{self.unit}, {rate:.1f}/s, {clock((self.total - self.done) / rate)} left"


def clock(seconds: float) -> str:
    """Format a duration as m:ss or h:mm:ss."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _rich(console: Console) -> RichProgress:
    """Create the live display."""
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.completed}/{task.total} {task.fields[rate]} {task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
