"""Heat map of documents' positions in the prompt against their positions in the answer.

The result is a self-contained SVG with a light and a dark theme.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from ranking.audit.audit_report import Audit
from ranking.audit.picture_legend import legend_of
from ranking.audit.picture_scale import STYLE, Grid, scale_end, text
from ranking.audit.position import PositionBias

_MAX_TITLE_LENGTH = 56
_SHUFFLED = "Prompts were shuffled: a consistent slope away from the dotted line is position bias."
_NOT_SHUFFLED = "Prompts were not shuffled: a slope may be relevance or position bias."


def svg_of(audit: Audit, title: str) -> str:
    """Draw the distribution of answer positions for each prompt position.

    Each row is a prompt position and sums to 100%, including the column "omitted". If there are no usable answers, the
    picture shows only a message.

    Args:
        audit: the audit to draw.
        title: any text; long titles are truncated in the picture.
    """
    short = title if len(title) <= _MAX_TITLE_LENGTH else title[: _MAX_TITLE_LENGTH - 1] + "…"
    if audit.position is None:
        return _wrap_in_svg(
            title,
            640,
            120,
            [text(24, 38, short, "title"), text(24, 66, "No usable answers to draw.", "muted")],
        )
    position = audit.position
    grid = Grid(len(position.counts))
    parts = [
        text(24, 38, short, "title"),
        text(24, 62, _summary(audit, position), "body"),
        text(24, 84, _SHUFFLED if audit.shuffled else _NOT_SHUFFLED, "muted"),
        *_axes(grid),
        *_cells(grid, position),
        *_omitted_cells(grid, position),
        *_guides(grid, position),
        *_mean_line(grid, position),
        *legend_of(grid, scale_end(position)),
    ]
    return _wrap_in_svg(title, grid.width, grid.height, parts)


def _wrap_in_svg(title: str, width: float, height: float, parts: list[str]) -> str:
    label = escape(_printable(f"Prompt position against answer position: {title}"), {'"': "&quot;"})
    body = _printable("\n".join(parts))
    size = f'width="{width:g}" height="{height:g}"'
    return (
        f'<svg class="audit" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {size} '
        f'role="img" aria-label="{label}">\n<style>{STYLE}</style>\n'
        f'<rect class="page" {size}/>\n{body}\n</svg>\n'
    )


def _printable(content: str) -> str:
    """Replace characters that XML does not allow (such as control characters and lone surrogates) with U+FFFD."""
    return "".join(
        letter
        if letter in "\n\t" or (letter >= " " and not "\ud800" <= letter <= "\udfff" and letter not in "\ufffe\uffff")
        else "\ufffd"
        for letter in content
    )


def _summary(audit: Audit, position: PositionBias) -> str:
    """Return the key numbers in one line."""
    parts = [f"{position.answers} usable {'answer' if position.answers == 1 else 'answers'}"]
    if position.correlation is not None:
        interval = position.correlation.interval
        parts.append(
            f"correlation of positions {position.correlation.mean:.2f}"
            + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")
        )
    if audit.idleness.does_nothing:
        parts.append("the teacher copies the input order")
    return " · ".join(parts)


def _axes(grid: Grid) -> Iterator[str]:
    yield text(grid.middle_x, grid.top - 34, "position in the answer (1 is best)", "body", anchor="middle")
    yield text(grid.left_out_x + grid.left_out_width / 2, grid.top - 12, "omitted", "muted", anchor="middle")
    rotation = f' transform="rotate(-90 30 {grid.middle_y:g})"'
    yield text(30, grid.middle_y, "position in the prompt (1 is first)", "body", anchor="middle", attributes=rotation)
    for place in grid.ticks:
        yield text(grid.x(place), grid.top - 12, str(place), "muted", anchor="middle")
        yield text(grid.left - 10, grid.y(place) + 4, str(place), "muted", anchor="end")


def _cells(grid: Grid, position: PositionBias) -> Iterator[str]:
    yield f'<rect class="plate" x="{grid.left:g}" y="{grid.top:g}" width="{grid.side:g}" height="{grid.side:g}"/>'
    end = scale_end(position)
    for row, counts in enumerate(position.counts, start=1):
        shown = sum(counts) + position.left_out[row - 1]
        for column, count in enumerate(counts, start=1):
            if count:
                note = f"prompt position {row}, answer position {column}: {count} of {shown} ({count / shown:.1%})"
                yield grid.cell("heat", grid.left + (column - 1) * grid.size, row, grid.size, count / shown / end, note)


def _omitted_cells(grid: Grid, position: PositionBias) -> Iterator[str]:
    box = f'x="{grid.left_out_x:g}" y="{grid.top:g}" width="{grid.left_out_width:g}" height="{grid.side:g}"'
    yield f'<rect class="plate" {box}/>'
    for row, count in enumerate(position.left_out, start=1):
        shown = sum(position.counts[row - 1]) + count
        if count:
            note = f"prompt position {row}, omitted: {count} of {shown} ({count / shown:.1%})"
            yield grid.cell("gone", grid.left_out_x, row, grid.left_out_width, 0.75 * count / shown, note)
        if grid.size >= 14:
            centre = grid.left_out_x + grid.left_out_width / 2
            yield text(
                centre,
                grid.y(row) + 4,
                f"{count / shown:.0%}" if count else "0",
                "small" if count else "faint",
                anchor="middle",
            )


def _guides(grid: Grid, position: PositionBias) -> Iterator[str]:
    """Draw two reference lines: the input order, and the answer position to expect without position bias.

    The input order is the diagonal. The expected position is a vertical line at the mean answer position of all listed
    documents; without position bias, every row has this mean.
    """
    listed = sum(map(sum, position.counts))
    mean = sum(count * place for counts in position.counts for place, count in enumerate(counts, start=1)) / listed
    yield f'<path class="order" d="M{grid.left:g} {grid.top:g}L{grid.left + grid.side:g} {grid.top + grid.side:g}"/>'
    yield f'<path class="even" d="M{grid.x(mean):g} {grid.top:g}V{grid.top + grid.side:g}"/>'


def _mean_line(grid: Grid, position: PositionBias) -> Iterator[str]:
    points = [(grid.x(mean), grid.y(row)) for row, mean in enumerate(position.mean_place, start=1) if mean is not None]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    yield f'<path class="halo" d="{path}"/>'
    yield f'<path class="mean" d="{path}"/>'
    radius = min(3.5, grid.size / 4)
    yield from (f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>' for x, y in points)
