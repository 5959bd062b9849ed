"""Measures of the audit's picture: where cells lie, how strong they are, how it is coloured."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from ranking.audit.position import PositionBias

_LIGHT = {"page": "#ffffff", "ink": "#1f2328", "muted": "#59636e", "faint": "#aab2bb", "plate": "#f3f5f8"}
_DARK = {"page": "#0d1117", "ink": "#e6edf3", "muted": "#9198a1", "faint": "#525a64", "plate": "#161c25"}
_LIGHT_HUES = {"heat": "#0a58b5", "gone": "#7a828c", "mean": "#d1490b"}
_DARK_HUES = {"heat": "#5cb0ff", "gone": "#8b949e", "mean": "#ffa657"}


def _colours(grey: dict[str, str], hue: dict[str, str]) -> str:
    return (
        f".page{{fill:{grey['page']}}}.plate{{fill:{grey['plate']}}}.title,.body,.small{{fill:{grey['ink']}}}"
        f".muted{{fill:{grey['muted']}}}.faint{{fill:{grey['faint']}}}.heat{{fill:{hue['heat']}}}.gone{{fill:{hue['gone']}}}"
        f".ramp{{stop-color:{hue['heat']}}}.mean{{stroke:{hue['mean']}}}.dot{{fill:{hue['mean']};stroke:{grey['page']}}}"
        f".halo{{stroke:{grey['page']}}}.order,.even,.tick{{stroke:{grey['muted']}}}"
    )


STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
    ".title{font-size:18px;font-weight:600}.body{font-size:13px}.muted{font-size:12px}.small,.faint{font-size:11px}"
    ".mean,.halo,.order,.even,.tick{fill:none}.halo{stroke-width:6;stroke-opacity:.7;stroke-linejoin:round}"
    ".mean{stroke-width:2.2;stroke-linejoin:round}.dot{stroke-width:1}"
    ".order{stroke-width:1.2;stroke-dasharray:6 4}.even{stroke-width:1.2;stroke-dasharray:1.5 3.5}"
    f"{_colours(_LIGHT, _LIGHT_HUES)}@media (prefers-color-scheme:dark){{{_colours(_DARK, _DARK_HUES)}}}"
)

_SCALE_ENDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Grid:
    """Where the cells of so many places lie, in pixels; rows are prompt places, columns answer places."""

    places: int
    left: float = 76.0
    top: float = 158.0
    left_out_width: float = 54.0

    @property
    def size(self) -> float:
        """Side of a cell: smaller for more places; a single one is large enough for the names of the axes."""
        return max(5.0, min(520.0 / self.places, max(90.0, 200.0 / self.places)))

    @property
    def side(self) -> float:
        """Side of the square of all cells."""
        return self.size * self.places

    @property
    def left_out_x(self) -> float:
        """Left edge of the column of what was left out."""
        return self.left + self.side + 16

    @property
    def middle_x(self) -> float:
        """Middle of all columns."""
        return self.left + self.side / 2

    @property
    def middle_y(self) -> float:
        """Middle of all rows."""
        return self.top + self.side / 2

    @property
    def legend_top(self) -> float:
        """Upper edge of the legend."""
        return self.top + self.side + 34

    @property
    def width(self) -> float:
        """Width of the picture; a small grid leaves the legend its room."""
        return max(700.0, self.left_out_x + self.left_out_width + 34)

    @property
    def height(self) -> float:
        """Height of the picture."""
        return self.legend_top + 70

    @property
    def ticks(self) -> list[int]:
        """Places with a number: all of them up to 10, else the first and every fifth or tenth."""
        step = 1 if self.places <= 10 else 5 if self.places <= 50 else 10
        return sorted({1, *range(step, self.places + 1, step)})

    def x(self, place: float) -> float:
        """Middle of an answer place, which may lie between two."""
        return self.left + (place - 0.5) * self.size

    def y(self, place: float) -> float:
        """Middle of a prompt place."""
        return self.top + (place - 0.5) * self.size

    def cell(self, kind: str, x: float, row: int, width: float, strength: float, note: str) -> str:
        """A cell of a row. kind: its class. strength: from 0 to 1. note: shown under the pointer."""
        y, gap = self.top + (row - 1) * self.size, 0.5 if self.size >= 10 else 0.0
        where = f'x="{x + gap:g}" y="{y + gap:g}" width="{width - 2 * gap:g}" height="{self.size - 2 * gap:g}"'
        return f'<rect class="{kind}" {where} fill-opacity="{strength:.3f}"><title>{escape(note)}</title></rect>'


def scale_end(position: PositionBias) -> float:
    """Share at which a cell is strongest: the largest share, rounded up to an even number."""
    shown = [sum(counts) + gone for counts, gone in zip(position.counts, position.left_out, strict=True)]
    largest = max(max(counts) / seen for counts, seen in zip(position.counts, shown, strict=True))
    return next(end for end in _SCALE_ENDS if largest <= end)


def text(x: float, y: float, content: str, kind: str, *, anchor: str = "start", more: str = "") -> str:
    """A line of text, escaped. kind: its class. anchor: start, middle or end. more: further attributes."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{more}>{escape(content)}</text>'
