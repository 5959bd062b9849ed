"""The legend of the audit's picture: the colour scale and the meaning of the lines."""

from __future__ import annotations

from collections.abc import Iterator

from ranking.audit.picture_scale import Grid, text

_RAMP = 190.0


def legend_of(grid: Grid, end: float) -> Iterator[str]:
    """Draw the legend.

    Args:
        grid: layout of the picture.
        end: share of answers at which a cell has full colour.
    """
    left, top = 24.0, grid.legend_top
    yield text(left, top, "share of answers, by row", "muted")
    yield from _ramp(left, top + 12, end, 1 / grid.places)
    lines = left + _RAMP + 70
    for step, (kind, meaning) in enumerate(
        [
            ("mean", "mean answer position of the row"),
            ("order", "input order"),
            ("even", "mean answer position without position bias"),
        ]
    ):
        y = top - 4 + step * 22
        yield f'<path class="{kind}" d="M{lines:g} {y:g}h34"/>'
        if kind == "mean":
            yield f'<circle class="dot" cx="{lines + 17:g}" cy="{y:g}" r="3.5"/>'
        yield text(lines + 44, y + 4, meaning, "muted")


def _ramp(left: float, top: float, end: float, chance: float) -> Iterator[str]:
    """Draw the colour scale from 0 to `end`, with a mark at `chance`, the share that random answers would give."""
    stops = '<stop class="ramp" stop-opacity="0"/><stop class="ramp" offset="1"/>'
    yield f'<defs><linearGradient id="ramp">{stops}</linearGradient></defs>'
    yield f'<rect class="plate" x="{left:g}" y="{top:g}" width="{_RAMP:g}" height="14"/>'
    yield f'<rect fill="url(#ramp)" x="{left:g}" y="{top:g}" width="{_RAMP:g}" height="14"/>'
    yield text(left, top + 30, "0", "muted")
    yield text(left + _RAMP, top + 30, f"{end:.0%}", "muted", anchor="end")
    if chance < end:
        mark = left + _RAMP * chance / end
        yield f'<path class="tick" d="M{mark:g} {top:g}v34"/>'
        middle = min(max(mark, left + 48), left + _RAMP - 72)
        yield text(middle, top + 47, f"chance {chance:.1%}".replace(".0%", "%"), "muted", anchor="middle")
