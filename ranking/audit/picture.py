"""Prompt place against answer place as one self-contained SVG that follows the reader's light or dark theme."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from ranking.audit.audit_report import Audit
from ranking.audit.picture_legend import legend_of
from ranking.audit.picture_scale import STYLE, Grid, scale_end, text
from ranking.audit.position import PositionBias

_LONGEST_TITLE = 56
_SHUFFLED = "Prompts were shuffled: a lasting slope away from the dotted line is position bias."
_NOT_SHUFFLED = "Prompts were not shuffled: relevance shows here as well as position bias."


def svg_of(audit: Audit, title: str) -> str:
    """Draw where the document at each prompt place stood in the answer. title: of any length and any characters.

    Each row holds the answers in which one prompt place was shown and sums to 100%, the column "left out"
    included. An audit without a usable answer gives a picture that says so.
    """
    short = title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…"
    if audit.position is None:
        return _framed(
            title,
            640,
            120,
            [text(24, 38, short, "title"), text(24, 66, "No answer is usable: there is nothing to draw.", "muted")],
        )
    position = audit.position
    grid = Grid(len(position.counts))
    parts = [
        text(24, 38, short, "title"),
        text(24, 62, _finding(audit, position), "body"),
        text(24, 84, _SHUFFLED if audit.shuffled else _NOT_SHUFFLED, "muted"),
        *_axes(grid),
        *_cells(grid, position),
        *_left_out(grid, position),
        *_guides(grid, position),
        *_mean_line(grid, position),
        *legend_of(grid, scale_end(position)),
    ]
    return _framed(title, grid.width, grid.height, parts)


def _framed(title: str, width: float, height: float, parts: list[str]) -> str:
    label = escape(_printable(f"Prompt place against answer place: {title}"), {'"': "&quot;"})
    body = _printable("\n".join(parts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{label}">\n<style>{STYLE}</style>\n'
        f'<rect class="page" width="{width:g}" height="{height:g}"/>\n{body}\n</svg>\n'
    )


def _printable(content: str) -> str:
    """Replace what no XML file may hold: control characters and lone surrogates."""
    return "".join(
        letter
        if letter in "\n\t" or (letter >= " " and not "\ud800" <= letter <= "\udfff" and letter not in "\ufffe\uffff")
        else "\ufffd"
        for letter in content
    )


def _finding(audit: Audit, position: PositionBias) -> str:
    """What the picture shows, in one line."""
    said = [f"{position.answers} usable {'answer' if position.answers == 1 else 'answers'}"]
    if position.correlation is not None:
        interval = position.correlation.interval
        said.append(
            f"places correlate at {position.correlation.mean:.2f}"
            + (f" ({interval[0]:.2f} to {interval[1]:.2f})" if interval else "")
        )
    if audit.idleness.does_nothing:
        said.append("the teacher does nothing")
    return " · ".join(said)


def _axes(grid: Grid) -> Iterator[str]:
    yield text(grid.middle_x, grid.top - 34, "place in the answer (1 is best)", "body", anchor="middle")
    yield text(grid.left_out_x + grid.left_out_width / 2, grid.top - 12, "left out", "muted", anchor="middle")
    down = f' transform="rotate(-90 30 {grid.middle_y:g})"'
    yield text(30, grid.middle_y, "place in the prompt (1 is first)", "body", anchor="middle", more=down)
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
                note = f"shown at {row}, answered at {column}: {count} of {shown} ({count / shown:.1%})"
                yield grid.cell("heat", grid.left + (column - 1) * grid.size, row, grid.size, count / shown / end, note)


def _left_out(grid: Grid, position: PositionBias) -> Iterator[str]:
    yield f'<rect class="plate" x="{grid.left_out_x:g}" y="{grid.top:g}" width="{grid.left_out_width:g}" height="{grid.side:g}"/>'
    for row, count in enumerate(position.left_out, start=1):
        shown = sum(position.counts[row - 1]) + count
        if count:
            note = f"shown at {row}, left out: {count} of {shown} ({count / shown:.1%})"
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
    """The prompt's own order, and the mean place of all that is listed, where every row would stand without bias."""
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
