"""Describe what was understood of a query log: format and columns of its files, the first rows, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ranking.collections.log_files import LogFile, splits_of
from ranking.collections.log_formats import required_format
from ranking.collections.log_layout import LogLayout
from ranking.collections.log_rows import read_split
from ranking.selection.near_duplicates import QueryForm
from ranking.selection.selection_settings import QuerySettings

_DELIMITER_NAMES = {",": "comma-separated", ";": "semicolon-separated", "\t": "tab-separated"}
_NOTES = {"slow_log": "a slow log has an entry for each shard and none for fast searches; frequencies are not exact"}


@dataclass
class LogPreview:
    """The first rows of files with the same layout.

    Attributes:
        layout: The layout.
        files: The files.
        rows: The first rows with a query.
        read: Number of rows that were read and have a query.
        searches: Sum of the frequencies of these rows.
        skipped: Number of rows that were read and left out, by reason.
        complete: Whether all rows of the files were read.
    """

    layout: LogLayout
    files: list[LogFile]
    rows: list[QueryForm] = field(default_factory=list)
    read: int = 0
    searches: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    complete: bool = True


def preview_log(
    files: Sequence[LogFile], layouts: Sequence[LogLayout], settings: QuerySettings, max_rows: int, shown_rows: int
) -> list[LogPreview]:
    """Read the first rows of each group of files that have the same layout.

    Args:
        files: The files of the log.
        layouts: The layout of each file.
        settings: Settings of the queries.
        max_rows: Maximum number of rows to read per group.
        shown_rows: Number of rows to keep per group.

    Raises:
        LogError: One of the rows is malformed.
    """
    previews = [LogPreview(layout, group) for layout, group in groups_of(files, layouts)]
    for preview in previews:
        for form in _forms(preview, settings, max_rows):
            if preview.read + preview.skipped.total() >= max_rows:
                preview.complete = False
                break
            preview.read += 1
            preview.searches += form.frequency
            if len(preview.rows) < shown_rows:
                preview.rows.append(form)
    return previews


def groups_of(files: Sequence[LogFile], layouts: Sequence[LogLayout]) -> list[tuple[LogLayout, list[LogFile]]]:
    """Group files by layout, in the order of the files."""
    groups: dict[LogLayout, list[LogFile]] = {}
    for file, layout in zip(files, layouts, strict=True):
        groups.setdefault(layout, []).append(file)
    return list(groups.items())


def describe(layout: LogLayout, files: Sequence[LogFile], settings: QuerySettings) -> str:
    """Describe the files of one layout in one line: number, format and columns."""
    name = files[0].path.rpartition("/")[2] if len(files) == 1 else f"{len(files):,} files"
    origin = "as set" if required_format(settings) else "detected"
    parts = [f"format {layout.format} ({origin})", *_details(layout, files)]
    return f"{name}: {', '.join(parts)}; {describe_columns(layout)}"


def describe_columns(layout: LogLayout) -> str:
    """Describe the columns of a layout in one line."""
    text, frequency, query_id = layout.columns
    columns = [
        f"query: {text or 'none'}" if layout.row is None or layout.row.width else "query: the whole line",
        f"frequency: {frequency or 'each row is one search'}",
        f"id: {query_id or 'a hash of the query'}",
    ]
    return ", ".join(columns)


def notes_on(layouts: Sequence[LogLayout]) -> list[str]:
    """List what the user should know about the formats of a log."""
    return [_NOTES[name] for name in dict.fromkeys(layout.format for layout in layouts) if name in _NOTES]


def _details(layout: LogLayout, files: Sequence[LogFile]) -> Iterator[str]:
    if layout.delimiter:
        yield _DELIMITER_NAMES.get(layout.delimiter, f"separated by {layout.delimiter!r}")
    if layout.row is not None:
        yield "with a header" if layout.row.header else "without a header"
    if layout.comments:
        yield "comment lines skipped"
    if layout.encoding != "utf-8":
        yield layout.encoding.upper()
    if any(file.is_compressed for file in files):
        yield "gzip"


def _forms(preview: LogPreview, settings: QuerySettings, max_rows: int) -> Iterator[QueryForm]:
    """Yield the rows of the files. Stops after a split if so many rows were skipped."""
    for split in splits_of(preview.files, [preview.layout] * len(preview.files)):
        if preview.skipped.total() >= max_rows:
            preview.complete = False
            return
        yield from read_split(split, settings, preview.skipped)
