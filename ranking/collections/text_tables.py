"""Read .tsv files of documents and queries, such as collection.tsv and queries.tsv of MS MARCO.

A line has an id and a text. Further tabs are white space of the text. If the first line names columns, it is a header;
with more than two columns, every line must have all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ranking.collections.lines import read_lines
from ranking.errors import InputError

MSMARCO_DOCUMENT_COLUMNS = ("docid", "url", "title", "body")
"""Columns of msmarco-docs.tsv, which has no header."""

_ID_NAMES = ("id", "_id", "docid", "doc_id", "docno", "pid", "passage_id", "qid", "query_id", "query-id", "topic_id")
_TEXT_NAMES = ("text", "body", "passage", "contents", "content", "query", "question")
_OTHER_NAMES = ("title", "url")


class TextRow(NamedTuple):
    """A row: the number of its line, its id, title and text. The title is empty if there is no such column."""

    line: int
    row_id: str
    title: str
    text: str


def read_text_table(path: Path, kind: str, columns: Sequence[str] = ()) -> Iterator[TextRow]:
    """Yield the rows of a plain or gzipped .tsv file.

    Args:
        path: The file.
        kind: "document" or "topic", for error messages.
        columns: Names of the columns of a file without a header. Empty for an id and a text.

    Raises:
        InputError: A line lacks columns or an id. The message names file and line.
    """
    for number, (line, content) in enumerate(read_lines(path)):
        cells = content.split("\t")
        if number == 0 and _is_header(cells):
            columns = [cell.strip().casefold() for cell in cells]
            continue
        if len(columns) > 2 or (columns and columns[0] not in _ID_NAMES):
            if len(cells) != len(columns):
                raise InputError(f"{path}, line {line}: expected {len(columns)} columns, not {len(cells)}")
            values = dict(zip(columns, cells, strict=True))
            row_id, title, text = (_first(values, names) for names in (_ID_NAMES, ("title",), _TEXT_NAMES))
        else:
            row_id, _, text = content.partition("\t")
            title = ""
            if len(cells) < 2:
                raise InputError(f"{path}, line {line}: expected an id, a tab and the text of the {kind}")
        if not row_id.strip():
            raise InputError(f"{path}, line {line}: the id is empty; expected an id, a tab and the text of the {kind}")
        yield TextRow(line, row_id.strip(), " ".join(title.split()), " ".join(text.split()))


def _is_header(cells: Sequence[str]) -> bool:
    """Return whether all cells of a line are names of columns, of which one is the id and one is the text."""
    names = [cell.strip().casefold() for cell in cells]
    return (
        set(names) <= {*_ID_NAMES, *_TEXT_NAMES, *_OTHER_NAMES}
        and any(name in _ID_NAMES for name in names)
        and any(name in _TEXT_NAMES for name in names)
    )


def _first(values: dict[str, str], names: Sequence[str]) -> str:
    """Return the value of the first name that is a column, or an empty string."""
    return next((values[name] for name in names if name in values), "")
