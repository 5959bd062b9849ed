"""Read and format TREC runs. A run has a ranked list of documents for each query."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from ranking.collections.lines import read_lines
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
    """Read a run: RankLLM results if the suffix is .json or .jsonl, else TREC lines.

    Raises:
        InputError: The file is malformed or has duplicates. The message names file, location and field.
    """
    return read_rank_llm(path) if path.suffix in (".json", ".jsonl") else read_trec(path)


def read_trec(path: Path) -> TrecRun:
    """Read a TREC run file.

    Raises:
        InputError: The file is empty, malformed or has duplicates. The message names file and line.
    """
    run: TrecRun = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise InputError(
                f"{path}, line {number}: expected 6 columns (query Q0 document rank score tag), not {len(fields)}"
            )
        query_id, _, doc_id, _, score, _ = fields
        try:
            value = float(score)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{path}, line {number}: the score must be a finite number, not {score!r}")
        if doc_id in run.setdefault(query_id, {}):
            raise InputError(f"{path}, line {number}: document {doc_id!r} appears twice for query {query_id!r}")
        run[query_id][doc_id] = value
    if not run:
        raise InputError(f"{path}: the run is empty")
    return run


def order_of(scores: Mapping[str, float]) -> list[str]:
    """Order document ids by score, best first. Ties are ordered by descending document id, as in trec_eval."""
    return [doc_id for doc_id, _ in sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)]
