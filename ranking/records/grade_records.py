"""Records of the judge: query-passage pairs to grade, and their grades."""

from __future__ import annotations

from typing import Literal

from ranking.records.record import Record

GradeStatus = Literal["ok", "empty", "truncated", "out_of_range", "malformed", "failed", "no_text", "no_grade"]
"""Parse status of a judge's answer. `ok` is the only one with a grade.

`empty`: no text. `truncated`: the answer is not a grade and reached the maximum length. `out_of_range`: a number above
3. `malformed`: anything else. `failed`: the engine rejected the prompt. `no_text`: the collection has no text of the
document. `no_grade`: a recorded file has no grade for the pair.
"""


class PairToGrade(Record):
    """A query-passage pair that a judge grades.

    Attributes:
        query: Text of the query.
        passage: Title and text of the document.
    """

    query_id: str
    doc_id: str
    query: str
    passage: str


class PairGrade(Record):
    """A judge's grade of a query-passage pair.

    Attributes:
        status: Parse status of the answer.
        grade: Grade from 0 to 3. None unless the status is `ok`.
    """

    query_id: str
    doc_id: str
    status: GradeStatus
    grade: int | None = None
