"""Runs in TREC's sense: a ranked list for every query, and the files that hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from ranking.collections.lines import read_lines
from ranking.errors import InputError
from ranking.evaluation.rank_llm import read_rank_llm

TrecRun = dict[str, dict[str, float]]
"""{query_id: {doc_id: score}}, higher is better."""


def to_trec(run: Mapping[str, Mapping[str, float]], tag: str) -> str:
    """Write a run as TREC lines, best first; equal scores are ordered by document id, descending, as trec_eval does.

    White space divides a line's columns, so in ids and tag it becomes %20.
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
    return re.sub(r"\s", "%20", text)


def read_run(path: Path) -> TrecRun:
    """Read a run by its file's suffix: RankLLM's results from .json and .jsonl, TREC lines from any other.

    Raises InputError with file, place and field for what is malformed or comes twice.
    """
    return read_rank_llm(path) if path.suffix in (".json", ".jsonl") else read_trec(path)


def read_trec(path: Path) -> TrecRun:
    """Read a TREC run file. Raises InputError with file and line for what is malformed or comes twice."""
    run: TrecRun = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise InputError(
                f"{path}, line {number}: 6 columns are expected (query Q0 document rank score tag), not {len(fields)}"
            )
        query_id, _, doc_id, _, score, _ = fields
        try:
            value = float(score)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{path}, line {number}: the score must be a finite number, not {score!r}")
        if doc_id in run.setdefault(query_id, {}):
            raise InputError(f"{path}, line {number}: document {doc_id!r} stands twice for query {query_id!r}")
        run[query_id][doc_id] = value
    if not run:
        raise InputError(f"{path}: the run is empty")
    return run


def order_of(scores: Mapping[str, float]) -> list[str]:
    """Order documents by score, best first; equal scores by document id, descending, as trec_eval does."""
    return [doc_id for doc_id, _ in sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)]
