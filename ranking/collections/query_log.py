"""Query logs as tab-separated text: a query and how often it was asked, on each line."""

from __future__ import annotations

from pathlib import Path

from ranking.collections.lines import read_lines
from ranking.errors import InputError
from ranking.records import Query


def read_log_tsv(path: Path) -> list[Query]:
    """Read `text<TAB>frequency` lines into queries named by their line, `log-<line>`.

    A first line whose frequency is no number is a header. Raises InputError with file and line for what
    is malformed, an empty query, or a query that comes twice.
    """
    queries: list[Query] = []
    seen: dict[str, int] = {}
    for line, content in read_lines(path):
        text, tab, frequency = content.rpartition("\t")
        if not tab:
            raise InputError(f"{path}, line {line}: 2 columns are expected (query, frequency), divided by a tab")
        if not frequency.strip().isdigit() and line == 1:
            continue
        if not frequency.strip().isdigit() or int(frequency) < 1:
            raise InputError(f"{path}, line {line}: the frequency must be a whole number from 1 up, not {frequency!r}")
        text = " ".join(text.split())
        if not text:
            raise InputError(f"{path}, line {line}: the query is empty")
        if text in seen:
            raise InputError(f"{path}, line {line}: query {text!r} stands on line {seen[text]} already")
        seen[text] = line
        queries.append(Query(query_id=f"log-{line}", text=text, frequency=int(frequency)))
    if not queries:
        raise InputError(f"{path}: the query log is empty")
    return queries
