"""Read qrels files: judgements of query-document pairs, as used by TREC, BEIR and MS MARCO.

A line has the columns query, document and grade, or the four columns of TREC with an unused second column, separated by
tabs or spaces. The first line may be a header. If it names the columns, their order and number are free.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ranking.collections.lines import read_lines
from ranking.errors import InputError

Qrels = dict[str, dict[str, int]]
"""{query_id: {doc_id: grade}}"""

MAX_GRADE = 10**9 - 1
"""Highest absolute value of a grade."""

_QUERY_NAMES = {"query-id", "query_id", "queryid", "qid", "query", "topic", "topic_id"}
_DOCUMENT_NAMES = {"corpus-id", "corpus_id", "doc_id", "doc-id", "docid", "docno", "pid", "document", "document_id"}
_GRADE_NAMES = {"score", "grade", "relevance", "rel", "label"}


class _Columns(NamedTuple):
    """Indices of the columns, and the number of columns that each line must have."""

    query: int = 0
    document: int = -2
    grade: int = -1
    widths: tuple[int, ...] = (3, 4)


def read_qrels(path: Path) -> Qrels:
    """Read the judgements of a plain or gzipped qrels file.

    Grades are integers. 1.0 is read as 1, because pandas writes integers so if a value of the column is missing.

    Raises:
        InputError: A line is malformed, a pair is judged twice, or there are no judgements. The message names file and
            line.
    """
    qrels: Qrels = {}
    columns = _Columns()
    header: list[str] = []
    first = ""
    for number, (line, text) in enumerate(read_lines(path)):
        where = f"{path}, line {line}"
        fields = [field.strip("\r") for field in text.split("\t")] if "\t" in text else text.split()
        if number == 0 and len(fields) > 2 and not _is_number(fields[-1]):
            first, header, columns = where, fields, _columns_of(fields, where)
            continue
        query_id, doc_id, grade = _judgement(fields, columns, where)
        if doc_id in qrels.setdefault(query_id, {}):
            raise InputError(f"{where}: document {doc_id!r} is judged twice for query {query_id!r}")
        qrels[query_id][doc_id] = grade
    if not qrels:
        raise InputError(f"{path}: there are no judgements")
    if len(header) in columns.widths:
        query_id, doc_id = header[columns.query], header[columns.document]
        if query_id in qrels or any(doc_id in grades for grades in qrels.values()):
            raise InputError(f"{first}: {_not_a_grade(header[columns.grade])}")
    return qrels


def _judgement(fields: list[str], columns: _Columns, where: str) -> tuple[str, str, int]:
    """Return query id, document id and grade of a line."""
    if len(fields) not in columns.widths:
        expected = "3 columns (query, document, grade) or the 4 of TREC"
        if columns.widths != _Columns().widths:
            expected = f"{columns.widths[0]} columns as in the header"
        raise InputError(f"{where}: expected {expected}, not {len(fields)}")
    grade = grade_of(fields[columns.grade])
    if grade is None:
        raise InputError(f"{where}: {_not_a_grade(fields[columns.grade])}")
    return fields[columns.query], fields[columns.document], grade


def grade_of(text: str) -> int | None:
    """Return a grade as an integer, or None if the text is not an integer of at most 9 digits."""
    match = re.fullmatch(r"(-?[0-9]{1,9})(\.0*)?", text.strip())
    return int(match[1]) if match else None


def _not_a_grade(text: str) -> str:
    return f"the grade must be an integer of at most 9 digits, not {text[:40]!r}"


def _columns_of(header: list[str], where: str) -> _Columns:
    """Return the columns that a header names, or the usual ones if it has other names.

    Raises:
        InputError: The line looks like a judgement with a malformed grade, or the header names only some columns and
            leaves no place for the others.
    """
    names = [field.strip().casefold() for field in header]
    groups = (_QUERY_NAMES, _DOCUMENT_NAMES, _GRADE_NAMES)
    found = [next((index for index, name in enumerate(names) if name in group), None) for group in groups]
    if found == [None, None, None]:
        if any(character.isdigit() for name in names for character in name):
            raise InputError(f"{where}: {_not_a_grade(header[-1])}")
        return _Columns()
    usual = (0, len(names) - 2, len(names) - 1)
    query, document, grade = (place if index is None else index for index, place in zip(found, usual, strict=True))
    if len({query, document, grade}) < 3:
        raise InputError(
            f"{where}: cannot tell the columns from the header {' '.join(header)[:80]!r}; "
            "name them query-id, corpus-id and score"
        )
    return _Columns(query, document, grade, (len(names),))


def _is_number(text: str) -> bool:
    """Return whether a text is a number, including nan and inf."""
    try:
        float(text)
    except ValueError:
        return False
    return True
