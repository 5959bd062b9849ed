"""Axes of a small SVG chart: scales and round tick values. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from ranking.terminal_text import printable

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 16, 44
_STEPS = (1, 2, 2.5, 5, 10)
_TICKS = 6
_LETTER_WIDTH, _BOLD_LETTER_WIDTH = 7.0, 8.0
"""Average width of a letter in pixels, at the font size of labels."""


def ticks_of(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Return about `count` round numbers that span low to high. low and high may be equal."""
    span = high - low or abs(high) or 1.0
    raw = span / max(1, count - 1)
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * part for part in _STEPS if scale * part >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return [step * i for i in range(first, last + 1)]


def log_ticks_of(low: float, high: float) -> list[float]:
    """Return tick values that span low to high: 1, 2 and 5 times powers of ten. low and high must be above 0."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [part * 10.0**power for power in powers for part in (1, 2, 5)]
    below = max(tick for tick in ticks if tick <= low)
    above = min((tick for tick in ticks if tick >= high), default=ticks[-1])
    return [tick for tick in ticks if below <= tick <= above] if above > below else [below, below * 10]


@dataclass(frozen=True)
class Scale:
    """Linear or logarithmic mapping from values to coordinates.

    Attributes:
        ticks: Tick values in ascending order. The first and last are the ends of the scale.
        start: Coordinate of the first tick.
        stop: Coordinate of the last tick.
        log: Whether the scale is logarithmic.
    """

    ticks: Sequence[float]
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the coordinate of a value."""
        transform: Callable[[float], float] = math.log10 if self.log else float
        low, high = transform(self.ticks[0]), transform(self.ticks[-1])
        return self.start + (transform(value) - low) / (high - low) * (self.stop - self.start)


def x_scale(low: float, high: float, log: bool = False) -> Scale:
    """Create a horizontal scale that spans low to high."""
    return Scale(log_ticks_of(low, high) if log else ticks_of(low, high), LEFT, WIDTH - RIGHT, log)


def y_scale(low: float, high: float) -> Scale:
    """Create a vertical scale that spans low to high."""
    return Scale(ticks_of(low, high), HEIGHT - BOTTOM, TOP)


def frame(title: str, parts: Sequence[str]) -> str:
    """Wrap SVG elements in an `svg` element. The title becomes its accessible name (aria-label)."""
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'


def grid(x: Scale | None, y: Scale, x_title: str, y_title: str) -> list[str]:
    """Draw grid lines, tick labels and axis titles.

    Args:
        x: Horizontal scale. None draws no vertical grid lines and no tick labels below the chart.
        y: Vertical scale.
        x_title: Title of the horizontal axis.
        y_title: Title of the vertical axis.
    """
    parts = []
    for tick in y.ticks:
        at = y.at(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(text(LEFT - 6, at + 4, number(tick), "tick", "end"))
    for tick in x.ticks if x else ():
        assert x is not None
        at = x.at(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(text(at, HEIGHT - BOTTOM + 16, number(tick), "tick", "middle"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_title, "axis", "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate(12 {middle:g}) rotate(-90)">'
        f"{escape(y_title)}</text>"
    )
    return parts


def text(x: float, y: float, content: str, kind: str, anchor: str = "start") -> str:
    """Draw a line of text. The text is escaped; `kind` is its CSS class.

    A text that does not fit into the picture is shortened, and its tooltip shows all of it.
    """
    content = printable(content)
    room = {"start": WIDTH - x, "end": x}.get(anchor, 2 * min(x, WIDTH - x))
    letters = max(8, int(room / (_BOLD_LETTER_WIDTH if "strong" in kind else _LETTER_WIDTH)))
    shown = escape(content)
    if len(content) > letters:
        shown = f"{escape(content[: letters - 1])}…<title>{escape(content)}</title>"
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{shown}</text>'


def number(value: float) -> str:
    """Format a tick value compactly."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{round(value, 10):g}"
