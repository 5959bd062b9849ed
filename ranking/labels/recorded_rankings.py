"""Read rankings that were made by another system, for the recorded teacher, which labels from a file.

Three kinds of files are supported:

- **Answers** (`.jsonl`): one answer of a listwise LLM per line, with the ids of the documents in its prompt:
  `{"query_id": "q1", "documents": ["d7", "d2", "d9"], "answer": "[3] > [1]"}`. If a query has answers to several
  prompt orders, the key `order` numbers them from 0, and the answer with the lowest number becomes the label. The
  answer `none` means that no document helps with the query.
- **Runs**: a TREC run file, or the JSON files of RankLLM. It is unknown which documents were in the prompt.
- **Grades** (`.qrels`, or `.tsv` and `.txt` with 3 or 4 columns): qrels in which the teacher graded each pair of query
  and document. The grades are used as scores.
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
    """A recorded ranking of the documents of one query.

    Attributes:
        order: Document ids, best first.
        shown: Ids of the documents in the prompt, in prompt order. None if unknown.
        raw: Text of the answer. None for runs and grades.
        answer: The parsed answer. None for runs and grades.
        scores: {document id: grade}. None for answers and runs.
    """

    order: list[str]
    shown: list[str] | None = None
    raw: str | None = None
    answer: ParsedAnswer | None = None
    scores: Mapping[str, float] | None = None


def read_recorded(path: Path) -> dict[str, RecordedList]:
    """Read a file of any kind and return the ranking that becomes the label of each query, as {query id: ranking}.

    Raises:
        InputError: A line is malformed. The message names file and line.
    """
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
    """Return whether a file contains answers of a listwise LLM, judging by its extension and first line."""
    first = next(read_lines(path), None) if path.suffix == ".jsonl" else None
    return first is not None and '"answer"' in first[1]


def read_answers(path: Path) -> dict[str, list[RecordedList]]:
    """Read all answers of an answers file.

    Returns:
        {query id: rankings}. The rankings of a query are sorted by the key `order` of their lines.

    Raises:
        InputError: A line is malformed, or two lines have the same query and order.
    """
    answers: dict[str, dict[int, RecordedList]] = {}
    for line, text in read_lines(path):
        where = f"{path}, line {line}"
        query_id, order, documents, raw = _fields(where, text)
        if order in answers.setdefault(query_id, {}):
            raise InputError(f"{where}: query {query_id!r} has two answers with order {order}")
        parsed = read_answer("" if raw.strip() == NOTHING_HELPS else raw, len(documents))
        ranked = [documents[number - 1] for number in parsed.order]
        answers[query_id][order] = RecordedList(ranked, documents, raw, parsed)
    if not answers:
        raise InputError(f"{path}: the file is empty")
    return {query_id: [lists[order] for order in sorted(lists)] for query_id, lists in answers.items()}


def _fields(where: str, text: str) -> tuple[str, int, list[str], str]:
    """Parse a line of an answers file. Return its query id, order, document ids and answer."""
    try:
        row: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from None
    expected = {"query_id": str, "documents": list, "answer": str}
    if not isinstance(row, dict) or any(not isinstance(row.get(name), kind) for name, kind in expected.items()):
        raise InputError(
            f"{where}: expected an object with 'query_id' (string), 'documents' (list of ids) and 'answer' (string)"
        )
    documents, order = row["documents"], row.get("order", 0)
    if (
        not documents
        or not all(isinstance(doc_id, str) and doc_id for doc_id in documents)
        or len(set(documents)) < len(documents)
    ):
        raise InputError(f"{where}: 'documents' must be a list of distinct ids in prompt order")
    if not isinstance(order, int) or isinstance(order, bool) or order < 0:
        raise InputError(f"{where}: 'order' must be an integer of 0 or more, not {order!r}")
    return row["query_id"], order, documents, row["answer"]


def _graded(grades: Mapping[str, int]) -> RecordedList:
    scores = {doc_id: float(grade) for doc_id, grade in grades.items()}
    return RecordedList(order_of(scores), list(scores), scores=scores)
