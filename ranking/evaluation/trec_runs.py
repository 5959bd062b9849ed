"""Read and format TREC runs and runs of MS MARCO. A run has a ranked list of documents for each query."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from ranking.collections.lines import read_lines, suffix_of
from ranking.errors import InputError
from ranking.evaluation.rank_llm import read_rank_llm

TrecRun = dict[str, dict[str, float]]
"""A run: {query_id: {doc_id: score}}. Higher scores are better."""


def to_trec(run: Mapping[str, Mapping[str, float]], tag: str) -> str:
    """Format a run as TREC lines, best first. Ties are ordered by descending document id, as in trec_eval.

    White space in ids and in the tag is replaced with %20, because white space separates the columns.
    """
    lines = []
    for query_id in run:
        ranked = sorted(run[query_id].items(), key=lambda item: (item[1], item[0]), reverse=True)
        words = ((_word(doc_id), score) for doc_id, score in ranked)
        lines += [
            f"{_word(query_id)} Q0 {doc_id} {rank} {score:.9g} {_word(tag)}\n"
            for rank, (doc_id, score) in enumerate(words, start=1)
        ]
    return "".join(lines)


def _word(text: str) -> str:
    """Replace each white-space character with %20."""
    return re.sub(r"\s", "%20", text)


def read_run(path: Path) -> TrecRun:
    """Read a plain or gzipped run: RankLLM results if the suffix is .json or .jsonl, else TREC or MS MARCO lines.

    Raises:
        InputError: The file is malformed or has duplicates. The message names file, location and field.
    """
    return read_rank_llm(path) if suffix_of(path) in (".json", ".jsonl") else read_trec(path)


def read_trec(path: Path) -> TrecRun:
    """Read a run of TREC, with six columns, or of MS MARCO, with the three columns query, document and rank.

    The scores of an MS MARCO run are the negative ranks.

    Raises:
        InputError: The file is empty, malformed or has duplicates. The message names file and line.
    """
    run: TrecRun = {}
    width = 0
    for number, line in read_lines(path):
        where, fields = f"{path}, line {number}", line.split()
        width = width or len(fields)
        if len(fields) not in (3, 6) or len(fields) != width:
            raise InputError(
                f"{where}: expected 6 columns (query Q0 document rank score tag) or 3 (query document rank), "
                f"not {len(fields)}"
            )
        query_id, doc_id = fields[0], fields[1 if width == 3 else 2]
        value = -float(_rank(fields[2], where)) if width == 3 else _score(fields[4], where)
        if doc_id in run.setdefault(query_id, {}):
            raise InputError(f"{where}: document {doc_id!r} appears twice for query {query_id!r}")
        run[query_id][doc_id] = value
    if not run:
        raise InputError(f"{path}: the run is empty")
    if width == 3:
        _check_ranks(run, path)
    return run


def _score(text: str, where: str) -> float:
    """Return a score. Raises InputError unless it is a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: the score must be a finite number, not {text!r}")
    return value


def _rank(text: str, where: str) -> int:
    """Return a rank. Raises InputError unless it is a non-negative integer."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InputError(
            f"{where}: the third of 3 columns must be a rank, not {text[:40]!r}; "
            "a run with scores has the 6 columns of TREC"
        )
    return int(text)


def _check_ranks(run: TrecRun, path: Path) -> None:
    """Check that the third column of an MS MARCO run has ranks, rather than grades or scores.

    Raises:
        InputError: The ranks of a query do not begin with 0 or 1, or two documents have the same rank.
    """
    for query_id, scores in run.items():
        if -max(scores.values()) not in (0, 1) or len(set(scores.values())) < len(scores):
            raise InputError(
                f"{path}, query {query_id!r}: the third of 3 columns must have ranks that begin with 1 and differ; "
                "a run with scores has the 6 columns of TREC"
            )


def order_of(scores: Mapping[str, float]) -> list[str]:
    """Order document ids by score, best first. Ties are ordered by descending document id, as in trec_eval."""
    return [doc_id for doc_id, _ in sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)]
