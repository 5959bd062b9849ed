"""Rankings that were made elsewhere, read for the recorded teacher.

Three kinds of files:

- **Answers** (`.jsonl`): one answer of a listwise LLM a line, with the documents that its prompt showed:
  `{"query_id": "q1", "documents": ["d7", "d2", "d9"], "answer": "[3] > [1]"}`. `order` numbers the prompt orders of one query from 0, of
  which the first is the label. An answer of `none` says that no document helps.
- **Runs**: a TREC run, or RankLLM's JSON. What was shown is not known.
- **Grades** (`.qrels`, `.tsv`, `.txt` with 3 or 4 columns): qrels, in which the teacher graded each pair. The grade is the score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking.collections.beir import read_qrels
from ranking.collections.lines import read_lines
from ranking.errors import InputError
from ranking.evaluation.trec_runs import order_of, read_run
from ranking.labels.listwise_answers import ParsedAnswer, read_answer

NOTHING_HELPS = "none"


@dataclass(frozen=True)
class RecordedList:
    """The teacher's ranking of one query's documents.

    order: document ids, best first. shown: documents of the prompt, in their order there; None where that is not known. raw: the answer
    as text, and what the parser made of it; None for runs and grades. scores: {doc_id: grade} for grades.
    """

    order: list[str]
    shown: list[str] | None = None
    raw: str | None = None
    answer: ParsedAnswer | None = None
    scores: Mapping[str, float] | None = None


def read_recorded(path: Path) -> dict[str, RecordedList]:
    """Read the label of each query. Raises InputError with file and line for what is malformed."""
    if is_answers(path):
        return {query_id: lists[0] for query_id, lists in read_answers(path).items()}
    if (
        path.suffix not in (".json", ".jsonl")
        and (first := next(read_lines(path), None))
        and len(first[1].split()) in (3, 4)
    ):
        return {query_id: _graded(grades) for query_id, grades in read_qrels(path, None).items()}
    return {query_id: RecordedList(order_of(scores)) for query_id, scores in read_run(path).items()}


def is_answers(path: Path) -> bool:
    """Whether a file has answers of a listwise LLM, by its suffix and first line."""
    first = next(read_lines(path), None) if path.suffix == ".jsonl" else None
    return first is not None and '"answer"' in first[1]


def read_answers(path: Path) -> dict[str, list[RecordedList]]:
    """Read every answer of a file of answers: those of one query in the order of their `order`.

    Raises InputError with file and line for a malformed line, or a second answer with the same query and order.
    """
    found: dict[str, dict[int, RecordedList]] = {}
    for line, text in read_lines(path):
        where = f"{path}, line {line}"
        query_id, order, documents, raw = _fields(where, text)
        if order in found.setdefault(query_id, {}):
            raise InputError(f"{where}: query {query_id!r} has two answers of order {order}")
        read = read_answer("" if raw.strip() == NOTHING_HELPS else raw, len(documents))
        found[query_id][order] = RecordedList([documents[number - 1] for number in read.order], documents, raw, read)
    if not found:
        raise InputError(f"{path}: the file is empty")
    return {query_id: [lists[order] for order in sorted(lists)] for query_id, lists in found.items()}


def _fields(where: str, text: str) -> tuple[str, int, list[str], str]:
    """The query id, order, documents and answer of a line."""
    try:
        row: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from None
    expected = {"query_id": str, "documents": list, "answer": str}
    if not isinstance(row, dict) or any(not isinstance(row.get(name), kind) for name, kind in expected.items()):
        raise InputError(
            f"{where}: an object with 'query_id' (text), 'documents' (list of ids) and 'answer' (text) is expected"
        )
    documents, order = row["documents"], row.get("order", 0)
    if (
        not documents
        or not all(isinstance(doc_id, str) and doc_id for doc_id in documents)
        or len(set(documents)) < len(documents)
    ):
        raise InputError(f"{where}: 'documents' must be a list of distinct ids, in the order of the prompt")
    if not isinstance(order, int) or isinstance(order, bool) or order < 0:
        raise InputError(f"{where}: 'order' must be a whole number from 0 up, not {order!r}")
    return row["query_id"], order, documents, row["answer"]


def _graded(grades: Mapping[str, int]) -> RecordedList:
    scores = {doc_id: float(grade) for doc_id, grade in grades.items()}
    return RecordedList(order_of(scores), list(scores), scores=scores)
