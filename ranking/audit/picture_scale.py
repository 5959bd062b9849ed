"""Layout and style of the audit's picture: position and opacity of cells, and the colours."""

from __future__ import annotations

import re
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


def _within(root: str, style: str) -> str:
    """Limit the rules of a style sheet, whose selectors are classes or `text`, to the elements inside of `root`."""
    return re.sub(r"(?<=[{},])(?=(?:text|\.[a-z]+)[{,])", f"{root} ", f"}}{style}")[1:]


STYLE = _within(
    ".audit",
    "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
    ".title{font-size:18px;font-weight:600}.body{font-size:13px}.muted{font-size:12px}.small,.faint{font-size:11px}"
    ".mean,.halo,.order,.even,.tick{fill:none}.halo{stroke-width:6;stroke-opacity:.7;stroke-linejoin:round}"
    ".mean{stroke-width:2.2;stroke-linejoin:round}.dot{stroke-width:1}"
    ".order{stroke-width:1.2;stroke-dasharray:6 4}.even{stroke-width:1.2;stroke-dasharray:1.5 3.5}"
    f"{_colours(_LIGHT, _LIGHT_HUES)}@media (prefers-color-scheme:dark){{{_colours(_DARK, _DARK_HUES)}}}",
)
"""Style sheet of the picture. It leaves the rest of a page that contains the picture unchanged."""

_SCALE_ENDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Grid:
    """Layout of the cells in pixels. Rows are prompt positions, columns are answer positions.

    Attributes:
        places: number of positions.
        left: left edge of the cells.
        top: upper edge of the cells.
        left_out_width: width of the column of omitted documents.
    """

    places: int
    left: float = 76.0
    top: float = 158.0
    left_out_width: float = 54.0

    @property
    def size(self) -> float:
        """Side length of a cell. More positions give smaller cells; few cells are large enough for the axis titles."""
        return max(5.0, min(520.0 / self.places, max(90.0, 200.0 / self.places)))

    @property
    def side(self) -> float:
        """Side length of the square of all cells, without the column of omitted documents."""
        return self.size * self.places

    @property
    def left_out_x(self) -> float:
        """Left edge of the column of omitted documents."""
        return self.left + self.side + 16

    @property
    def middle_x(self) -> float:
        """Horizontal middle of the square of cells."""
        return self.left + self.side / 2

    @property
    def middle_y(self) -> float:
        """Vertical middle of the square of cells."""
        return self.top + self.side / 2

    @property
    def legend_top(self) -> float:
        """Upper edge of the legend."""
        return self.top + self.side + 34

    @property
    def width(self) -> float:
        """Width of the picture, wide enough for the legend even if there are few cells."""
        return max(700.0, self.left_out_x + self.left_out_width + 34)

    @property
    def height(self) -> float:
        """Height of the picture."""
        return self.legend_top + 70

    @property
    def ticks(self) -> list[int]:
        """Positions with a tick label: up to 10 positions all of them, else the first and every fifth or tenth."""
        step = 1 if self.places <= 10 else 5 if self.places <= 50 else 10
        return sorted({1, *range(step, self.places + 1, step)})

    def x(self, place: float) -> float:
        """Return the x coordinate of the middle of an answer position. The position may be fractional."""
        return self.left + (place - 0.5) * self.size

    def y(self, place: float) -> float:
        """Return the y coordinate of the middle of a prompt position."""
        return self.top + (place - 0.5) * self.size

    def cell(self, kind: str, x: float, row: int, width: float, strength: float, note: str) -> str:
        """Draw a cell.

        Args:
            kind: CSS class.
            x: left edge.
            row: prompt position, from 1.
            width: width of the cell.
            strength: opacity from 0 to 1.
            note: tooltip.
        """
        y, gap = self.top + (row - 1) * self.size, 0.5 if self.size >= 10 else 0.0
        box = f'x="{x + gap:g}" y="{y + gap:g}" width="{width - 2 * gap:g}" height="{self.size - 2 * gap:g}"'
        return f'<rect class="{kind}" {box} fill-opacity="{strength:.3f}"><title>{escape(note)}</title></rect>'


def scale_end(position: PositionBias) -> float:
    """Return the share of answers at which a cell has full colour: the largest share of any cell, rounded up.

    Rounding goes to the next value of `_SCALE_ENDS`.
    """
    totals = [sum(counts) + omitted for counts, omitted in zip(position.counts, position.left_out, strict=True)]
    largest = max(max(counts) / total for counts, total in zip(position.counts, totals, strict=True))
    return next(end for end in _SCALE_ENDS if largest <= end)


def text(x: float, y: float, content: str, kind: str, *, anchor: str = "start", attributes: str = "") -> str:
    """Draw a line of text. The text is escaped.

    Args:
        x: horizontal anchor.
        y: baseline.
        content: the text.
        kind: CSS class.
        anchor: alignment at x: start, middle or end.
        attributes: further SVG attributes, with a leading space.
    """
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attributes}>{escape(content)}</text>'
