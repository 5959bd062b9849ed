"""Table of the first rows of a query log, and a line with the counts, for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from ranking.collections.log_formats import describe_skipped
from ranking.collections.log_preview import LogPreview
from ranking.terminal_text import printable


def first_rows(preview: LogPreview) -> Table:
    """Build a table with the first queries of a log, their frequencies and ids."""
    has_ids = any(form.query_id is not None for form in preview.rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("query", overflow="fold")
    table.add_column("frequency", justify="right")
    if has_ids:
        table.add_column("id", overflow="fold")
    for form in preview.rows:
        cells = [form.text, f"{form.frequency:,}", *([form.query_id or ""] if has_ids else [])]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def counts_line(preview: LogPreview) -> str:
    """Return a line with the number of rows that were read and skipped."""
    scope = "" if preview.complete else "first rows only: "
    skipped = describe_skipped(preview.skipped) or "none"
    return f"{scope}{preview.read:,} rows with a query, {preview.searches:,} searches; skipped: {skipped}"
