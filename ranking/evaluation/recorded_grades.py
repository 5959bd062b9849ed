"""Grades of a recorded judge, and the test queries of collections that only a judge grades."""

from __future__ import annotations

from pathlib import Path

from ranking.collections.collection import Collection
from ranking.collections.qrels import Qrels, read_qrels
from ranking.collections.splits import split_without_judgements
from ranking.errors import InputError
from ranking.evaluation.judge_settings import JudgeSettings, RecordedJudgeSettings
from ranking.labels.grade_parsing import HIGHEST
from ranking.storage.sources import fetched


def read_recorded_grades(location: str) -> Qrels:
    """Read the grades of a recorded judge from a qrels file.

    Args:
        location: Path or URI.

    Raises:
        InputError: The file is malformed, or has a grade that is not from 0 to 3.
    """
    with fetched(location) as path:
        recorded = read_qrels(Path(path))
    for query_id, grades in recorded.items():
        for doc_id, grade in grades.items():
            if not 0 <= grade <= HIGHEST:
                raise InputError(
                    f"{location}: query {query_id!r}, document {doc_id!r}: a judge's grade must be from 0 to "
                    f"{HIGHEST}, not {grade}"
                )
    return recorded


def with_judged_queries(collection: Collection, judge: JudgeSettings | None) -> Collection:
    """Choose test queries for a judge if the collection has no judgements at all. Else return the collection.

    Raises:
        InputError: The judge's file is malformed.
    """
    if judge is None or collection.test or collection.log_qrels:
        return collection
    eligible = read_recorded_grades(judge.path).keys() if isinstance(judge, RecordedJudgeSettings) else None
    return split_without_judgements(collection, judge.unjudged_queries, eligible)
