"""Charts of the report as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ranking.evaluation.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, frame, grid, text, x_scale, y_scale

_LINE_COLOURS = 4
"""Number of line colours in the style sheet."""


def quality_by_latency(
    points: Sequence[tuple[str, str, float, float]], levels: Mapping[str, float], measure: str, budget_ms: float | None
) -> str:
    """Plot quality against latency. Markers of systems on the Pareto front are filled.

    Args:
        points: (name, kind of system, latency in milliseconds, quality) of each system.
        levels: {name: quality} of systems without a measured latency, drawn as horizontal lines.
        measure: Name of the measure of quality.
        budget_ms: Latency budget in milliseconds, drawn as a vertical line. None draws no line.
    """
    times = [time for _, _, time, _ in points] + ([budget_ms] if budget_ms else [])
    qualities = [quality for *_, quality in points] + list(levels.values())
    x, y = x_scale(min(times) * 0.8, max(times) * 1.25, log=True), y_scale(min(qualities), max(qualities))
    parts = grid(x, y, "p50 latency for 50 documents, ms (log scale)", measure)
    for place, (name, quality) in enumerate(levels.items()):
        at = y.at(quality)
        parts.append(f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            text(
                LEFT + 4 if place % 2 == 0 else WIDTH - RIGHT - 4,
                at - 4,
                name,
                "label",
                "start" if place % 2 == 0 else "end",
            )
        )
    if budget_ms:
        at = x.at(budget_ms)
        parts.append(f'<line class="budget" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(text(at - 4, TOP + 12, "budget", "label", "end"))
    for name, kind, time, quality in points:
        beaten = any(t <= time and q >= quality and (t, q) != (time, quality) for _, _, t, q in points)
        at_x, at_y = x.at(time), y.at(quality)
        shape = f"dot {escape(kind)}" + (" beaten" if beaten else "")
        label = escape(f"{name}: {quality:.3f}, {time:.1f} ms")
        parts.append(f'<circle class="{shape}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="6"><title>{label}</title></circle>')
        left = at_x > WIDTH * 0.6
        parts.append(text(at_x + (-10 if left else 10), at_y + 4, name, "label strong", "end" if left else "start"))
    return frame(f"{measure} against latency", parts)


def differences(values: Sequence[float], measure: str, system: str, baseline: str) -> str:
    """Plot the difference of a measure between two systems, with one bar per query and the worst query first."""
    ordered = sorted(values)
    y = y_scale(min(0.0, ordered[0]), max(0.0, ordered[-1]))
    width = (WIDTH - RIGHT - LEFT) / len(ordered)
    lost, won = sum(value < 0 for value in ordered), sum(value > 0 for value in ordered)
    parts = grid(
        None,
        y,
        f"{len(ordered)} queries: {lost} worse, {len(ordered) - lost - won} unchanged, {won} better",
        f"difference in {measure}",
    )
    zero = y.at(0.0)
    for place, value in enumerate(ordered):
        at = y.at(value)
        kind = "gain" if value > 0 else "loss"
        parts.append(
            f'<rect class="{kind}" x="{LEFT + place * width:.2f}" y="{min(at, zero):.1f}" '
            f'width="{max(0.5, width * 0.9):.2f}" height="{abs(at - zero):.1f}"/>'
        )
    parts.append(f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{zero:.1f}" y2="{zero:.1f}"/>')
    return frame(f"{system} minus {baseline} per query", parts)


def bars(shares: Sequence[tuple[str, float, int]], x_title: str, y_title: str) -> str:
    """Plot a column for each (name, share, count). The share is shown above the column, the count in its tooltip."""
    y = y_scale(0.0, max(share for _, share, _ in shares) or 1.0)
    width = (WIDTH - RIGHT - LEFT) / len(shares)
    parts = grid(None, y, x_title, y_title)
    for place, (name, share, count) in enumerate(shares):
        at, middle = y.at(share), LEFT + (place + 0.5) * width
        parts.append(
            f'<rect class="gain" x="{middle - width * 0.36:.1f}" y="{at:.1f}" width="{width * 0.72:.1f}" '
            f'height="{y.at(0.0) - at:.1f}">'
            f"<title>{escape(name)}: {share:.3f} of {count:,}</title></rect>"
        )
        parts.append(text(middle, HEIGHT - BOTTOM + 16, name, "tick", "middle"))
        parts.append(text(middle, at - 4, f"{share:.2f}", "tick", "middle"))
    return frame(f"{y_title} by {x_title}", parts)


def lines(curves: Mapping[str, Sequence[tuple[float, float]]], x_title: str, y_title: str) -> str:
    """Plot one line per name. Lines of at most 20 points also get a marker at each point."""
    points = [point for curve in curves.values() for point in curve]
    x = x_scale(0.0, max(step for step, _ in points))
    y = y_scale(min(value for _, value in points), max(value for _, value in points))
    parts = grid(x, y, x_title, y_title)
    for place, (name, curve) in enumerate(curves.items()):
        colour = f"line{place % _LINE_COLOURS}"
        path = " ".join(f"{x.at(step):.1f},{y.at(value):.1f}" for step, value in curve)
        parts.append(f'<polyline class="curve {colour}" points="{path}"><title>{escape(name)}</title></polyline>')
        if len(curve) <= 20:
            parts += [
                f'<circle class="{colour} point" cx="{x.at(step):.1f}" cy="{y.at(value):.1f}" r="3"/>'
                for step, value in curve
            ]
        parts.append(text(WIDTH - RIGHT - 4, TOP + 14 + 16 * place, name, f"label {colour}", "end"))
    return frame(f"{y_title} by {x_title}", parts)
