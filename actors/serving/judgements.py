"""Relevance grades that users of the search page give: a qrels file on storage, and the history of all grades.

`history.jsonl` has one line per grade. `qrels.trec` has the last grade of each pair of query and document, in the four
columns of TREC, separated by tabs. Both files are replaced by compare-and-swap, so services that share a storage root
lose no grade of each other.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, ValidationError

from ranking.errors import InputError
from ranking.records import Record
from ranking.storage.folder import Folder
from ranking.storage.pointer import Pointer, PointerConflictError

JUDGEMENTS = "judgements"
"""Folder under serving/ with one folder per run."""

QRELS, HISTORY = "qrels.trec", "history.jsonl"
MAX_GRADE = 3
_MAX_ATTEMPTS = 50
_MAX_PAUSE_SECONDS = 0.1


class UnwritableIdError(Exception):
    """An id has control characters, which a qrels file cannot contain."""


class Judgement(Record):
    """A grade: a line of history.jsonl.

    Attributes:
        at: Unix time in seconds.
        query_id: Id of the test query, or the hash of another query's text.
        doc_id: Id of the document.
        grade: Relevance grade.
        caller: Name of the caller's key, or "anybody".
        query: Text of the query; None if texts are not recorded.
    """

    at: float
    query_id: str
    doc_id: str
    grade: Annotated[int, Field(ge=0, le=MAX_GRADE)]
    caller: str
    query: str | None = None


def text_query_id(query: str) -> str:
    """Return the id of a query that is not a test query: "text-" and 24 hex digits of the SHA-256 of its text."""
    return f"text-{hashlib.sha256(query.encode('utf-8')).hexdigest()[:24]}"


class JudgementFiles:
    """The judgements of one run. Each grade rewrites both files, which is fast for tens of thousands of grades."""

    def __init__(self, folder: Folder) -> None:
        self._history, self._qrels = Pointer(folder, HISTORY), Pointer(folder, QRELS)
        self._lock = threading.Lock()

    def save(self, judgement: Judgement) -> int | None:
        """Save a grade. It is on storage when this returns.

        Returns:
            The earlier grade of the pair, which the history keeps. None if the pair had no grade.

        Raises:
            UnwritableIdError: An id cannot be written in a qrels file.
            InputError: The history has a malformed line, or the storage does not support compare-and-swap.
            OSError: The storage cannot be written.
            PointerConflictError: Other services change the files all the time.
        """
        _check_ids(judgement)
        with self._lock:
            earlier = self.grades_of(judgement.query_id).get(judgement.doc_id)
            line = judgement.model_dump_json() + "\n"
            _update(self._history, lambda text: text + line)
            _update(self._qrels, lambda _: _to_qrels(self._judgements()))
        return earlier

    def grades_of(self, query_id: str) -> dict[str, int]:
        """Return the last grade of each judged document of a query, by document id."""
        lines = (self._qrels.read().text or "").split("\n")
        rows = (line.split("\t") for line in lines if line.startswith(f"{query_id}\t"))
        return {doc_id: int(grade) for _, _, doc_id, grade in rows}

    def _judgements(self) -> list[Judgement]:
        """Read the history, oldest first."""
        rows = []
        for number, line in enumerate((self._history.read().text or "").split("\n")[:-1], start=1):
            try:
                rows.append(Judgement.model_validate_json(line))
            except ValidationError:
                where = f"{self._history.folder.address(HISTORY)}, line {number}"
                raise InputError(f"{where}: not a judgement; repair or delete the line") from None
        return rows


def _update(pointer: Pointer, change: Callable[[str], str]) -> None:
    """Replace a file's text by a function of it. Retries if another process changes the file in between."""
    for attempt in range(_MAX_ATTEMPTS):
        content = pointer.read()
        try:
            pointer.swap(content, change(content.text or ""))
            return
        except PointerConflictError:
            if attempt == _MAX_ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, _MAX_PAUSE_SECONDS))


def _to_qrels(judgements: list[Judgement]) -> str:
    """Format the last grade of each pair as a line of TREC qrels."""
    grades = {(judgement.query_id, judgement.doc_id): judgement.grade for judgement in judgements}
    return "".join(f"{query_id}\t0\t{doc_id}\t{grade}\n" for (query_id, doc_id), grade in grades.items())


def _check_ids(judgement: Judgement) -> None:
    """Raise UnwritableIdError if an id has a character that would break a line of the qrels file."""
    if any(ord(character) < 32 for character in judgement.query_id + judgement.doc_id):
        raise UnwritableIdError
