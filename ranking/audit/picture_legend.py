"""The legend under the audit's picture: the scale with its numbers, and what the lines are."""

from __future__ import annotations

from collections.abc import Iterator

from ranking.audit.picture_scale import Grid, text

_RAMP = 190.0


def legend_of(grid: Grid, end: float) -> Iterator[str]:
    """Draw the legend. end: share at which a cell is strongest."""
    left, top = 24.0, grid.legend_top
    yield text(left, top, "share of the answers, by row", "muted")
    yield from _ramp(left, top + 12, end, 1 / grid.places)
    lines = left + _RAMP + 70
    for step, (kind, meaning) in enumerate(
        [
            ("mean", "mean answer place of what was shown there"),
            ("order", "the answer repeats the prompt's order"),
            ("even", "the prompt's order has no say"),
        ]
    ):
        y = top - 4 + step * 22
        yield f'<path class="{kind}" d="M{lines:g} {y:g}h34"/>'
        if kind == "mean":
            yield f'<circle class="dot" cx="{lines + 17:g}" cy="{y:g}" r="3.5"/>'
        yield text(lines + 44, y + 4, meaning, "muted")


def _ramp(left: float, top: float, end: float, chance: float) -> Iterator[str]:
    """The scale from nothing to its end, with a mark at what an answer by chance would give."""
    yield '<defs><linearGradient id="ramp"><stop class="ramp" stop-opacity="0"/><stop class="ramp" offset="1"/></linearGradient></defs>'
    yield f'<rect class="plate" x="{left:g}" y="{top:g}" width="{_RAMP:g}" height="14"/>'
    yield f'<rect fill="url(#ramp)" x="{left:g}" y="{top:g}" width="{_RAMP:g}" height="14"/>'
    yield text(left, top + 30, "0", "muted")
    yield text(left + _RAMP, top + 30, f"{end:.0%}", "muted", anchor="end")
    if chance < end:
        mark = left + _RAMP * chance / end
        yield f'<path class="tick" d="M{mark:g} {top:g}v34"/>'
        middle = min(max(mark, left + 48), left + _RAMP - 72)
        yield text(middle, top + 47, f"chance {chance:.1%}".replace(".0%", "%"), "muted", anchor="middle")
