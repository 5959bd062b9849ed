"""Summary table of an evaluation for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from ranking.evaluation.results import Metrics
from ranking.terminal_text import printable

_MAX_NAME_WIDTH = 16


def of(metrics: Metrics) -> Table:
    """Build a table with one row per system and one column per measure.

    Delta is the difference to the baseline on the first measure.
    """
    first = next(iter(metrics.systems.values()))
    names = list(first.measures)
    by_system = {comparison.system: comparison for comparison in metrics.comparisons if comparison.measure == names[0]}
    lists = list(dict.fromkeys(system.candidates for system in metrics.systems.values() if system.candidates))
    title = f"{metrics.collection}, {metrics.queries} {metrics.split} queries"
    title += f", re-ranking {lists[0]}" if len(lists) == 1 else ""
    title += f"; graded by the {metrics.judge.label} only" if metrics.judge and metrics.judge.alone else ""
    title += f"; delta and p against {metrics.baseline}" if metrics.baseline else ""
    table = Table(
        title=Text(printable(title), "table.title"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    longest = max(len(system.system) for system in metrics.systems.values())
    table.add_column("system", overflow="fold", min_width=min(longest, _MAX_NAME_WIDTH))
    if len(lists) > 1:
        table.add_column("re-ranks", overflow="fold", min_width=8)
    judged_only = metrics.shows_judged_only
    judge = metrics.judge
    with_judge = [f"{names[0]} {judge.suffix}"] if judge and not judge.alone else []
    for title in (*names, *(["judged only"] if judged_only else []), *with_judge, "delta", "p"):
        table.add_column(title, justify="right", overflow="fold", min_width=5)
    for key, system in metrics.systems.items():
        comparison = by_system.get(key)
        values = [system.format_measure(name) for name in names]
        if judged_only:
            values.append("" if system.judged_only is None else f"{system.judged_only:.3f}")
        if with_judge:
            values.append(f"{system.with_judge[names[0]]:.3f}" if system.with_judge else "")
        difference = [f"{comparison.delta:+.3f}", f"{comparison.p:.4f}"] if comparison else ["", ""]
        cells = [system.system, *([system.candidates or ""] if len(lists) > 1 else []), *values, *difference]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table
