"""Read rankings that were made by another system, for the recorded teacher, which labels from a file.

Three kinds of files are supported, each plain or gzipped:

- **Answers** (`.jsonl`): one answer of a listwise LLM per line, or an array of them, with the ids of the documents in
  its prompt: `{"query_id": "q1", "documents": ["d7", "d2", "d9"], "answer": "[3] > [1]"}`. If a query has answers to
  several prompt orders, the key `order` numbers them from 0, and the answer with the lowest number becomes the label.
  The answer `none` means that no document helps with the query.
- **Runs**: a TREC run file, an MS MARCO run (`.run` or `.trec` with 3 columns), or the JSON files of RankLLM. It is
  unknown which documents were in the prompt.
- **Grades** (`.qrels`, or `.tsv` and `.txt` with 3 or 4 columns): qrels in which the teacher graded each pair of query
  and document. The grades are used as scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking.collections.json_rows import read_json_rows
from ranking.collections.lines import read_lines, suffix_of
from ranking.collections.qrels import Qrels, read_qrels
from ranking.errors import InputError
from ranking.evaluation.trec_runs import order_of, read_run
from ranking.labels.listwise_answers import ParsedAnswer, read_answer

NOTHING_HELPS = "none"
_RUN_SUFFIXES = (".json", ".jsonl", ".run", ".trec")


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
    first = next(read_lines(path), None) if suffix_of(path) not in _RUN_SUFFIXES else None
    if first is not None and len(first[1].split()) in (3, 4):
        qrels = read_qrels(path)
        if suffix_of(path) != ".qrels" and len(first[1].split()) == 3 and _are_ranks(qrels):
            raise InputError(
                f"{path}: the third column has 1, 2, 3, ... for each query, which can be ranks or grades; "
                "rename a run to .run and grades to .qrels"
            )
        return {query_id: _list_of_grades(grades) for query_id, grades in qrels.items()}
    return {query_id: RecordedList(order_of(scores)) for query_id, scores in read_run(path).items()}


def is_answers(path: Path) -> bool:
    """Return whether a file contains answers of a listwise LLM, judging by its extension and first line."""
    if suffix_of(path) != ".jsonl":
        return False
    _, first = next(read_json_rows(path, []), (0, None))
    return isinstance(first, dict) and "answer" in first


def read_answers(path: Path) -> dict[str, list[RecordedList]]:
    """Read all answers of an answers file.

    Returns:
        {query id: rankings}. The rankings of a query are sorted by the key `order` of their lines.

    Raises:
        InputError: A line is malformed, or two lines have the same query and order.
    """
    answers: dict[str, dict[int, RecordedList]] = {}
    for line, row in read_json_rows(path):
        where = f"{path}, line {line}"
        query_id, order, documents, raw = _fields(where, row)
        if order in answers.setdefault(query_id, {}):
            raise InputError(f"{where}: query {query_id!r} has two answers with order {order}")
        parsed = read_answer("" if raw.strip() == NOTHING_HELPS else raw, len(documents))
        ranked = [documents[number - 1] for number in parsed.order]
        answers[query_id][order] = RecordedList(ranked, documents, raw, parsed)
    if not answers:
        raise InputError(f"{path}: the file is empty")
    return {query_id: [lists[order] for order in sorted(lists)] for query_id, lists in answers.items()}


def _fields(where: str, row: Any) -> tuple[str, int, list[str], str]:
    """Check a row of an answers file. Return its query id, order, document ids and answer."""
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


def _are_ranks(qrels: Qrels) -> bool:
    """Return whether the values of every query are 1, 2, 3, ... in the order of the file, as in an MS MARCO run."""
    in_order = all(list(grades.values()) == list(range(1, len(grades) + 1)) for grades in qrels.values())
    return in_order and any(len(grades) > 1 for grades in qrels.values())


def _list_of_grades(grades: Mapping[str, int]) -> RecordedList:
    scores = {doc_id: float(grade) for doc_id, grade in grades.items()}
    return RecordedList(order_of(scores), list(scores), scores=scores)
