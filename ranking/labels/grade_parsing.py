"""Parse a judge's answer: one grade from 0 to 3.

The grammar, in which case and white space around the parts do not matter:

    answer = [["final"] ("grade" | "score" | "relevance") (":" | "=")] digits ["."]

The whole answer must have this form. An answer with other words is never searched for a digit, because "0 to 3" or a
number quoted from the passage would then become a grade.
"""

from __future__ import annotations

import re

from ranking.records import GradeStatus

HIGHEST = 3
"""Highest grade of the judge's scale; the lowest is 0."""

GRADES = tuple(str(grade) for grade in range(HIGHEST + 1))
"""Answers that structured output allows."""

_ANSWER = re.compile(r"\s*(?:(?:final\s+)?(?:grade|score|relevance)\s*[:=]\s*)?([0-9]{1,9})\s*\.?\s*", re.IGNORECASE)


def parse_grade(text: str, finish_reason: str | None) -> tuple[GradeStatus, int | None]:
    """Parse an answer.

    Args:
        text: The answer.
        finish_reason: Why generation ended, `stop` or `length`.

    Returns:
        The parse status, and the grade if the status is `ok`.
    """
    if not text.strip():
        return "empty", None
    match = _ANSWER.fullmatch(text)
    if match is None:
        return ("truncated" if finish_reason == "length" else "malformed"), None
    grade = int(match[1])
    return ("ok", grade) if grade <= HIGHEST else ("out_of_range", None)
