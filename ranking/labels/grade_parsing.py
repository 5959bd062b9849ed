"""Parse a judge's answer: one grade from 0 to 3.

The grammar, in which case and white space around the parts do not matter:

    answer = [["final"] ("grade" | "score" | "relevance") (":" | "=")] digits ["."]

The answer of a server with structured output is JSON, `{"grade": 2}`. Thinking before an answer is left out.

The whole answer must have one of these forms. An answer with other words is never searched for a digit, because
"0 to 3" or a number quoted from the passage would then become a grade.
"""

from __future__ import annotations

import re
from typing import Any

from ranking.labels.json_answers import only_value
from ranking.records import GradeStatus

HIGHEST = 3
"""Highest grade of the judge's scale; the lowest is 0."""

GRADES = tuple(str(grade) for grade in range(HIGHEST + 1))
"""Answers that structured output allows."""

GRADE_ANSWER = "grade_answer"
"""Key in `extra_args` of the sampling arguments that asks for an answer as JSON."""

JSON_GRADE_REQUEST = 'Write the digit as JSON, in this form: {"grade": digit}'
"""Added to a prompt whose answer must match `grade_schema`."""

_ANSWER = re.compile(r"\s*(?:(?:final\s+)?(?:grade|score|relevance)\s*[:=]\s*)?([0-9]{1,9})\s*\.?\s*", re.IGNORECASE)


def grade_schema() -> dict[str, Any]:
    """Return the JSON schema of an answer, with keywords that servers with structured output support."""
    return {
        "type": "object",
        "properties": {"grade": {"type": "integer", "enum": list(range(HIGHEST + 1))}},
        "required": ["grade"],
        "additionalProperties": False,
    }


def parse_grade(text: str, finish_reason: str | None) -> tuple[GradeStatus, int | None]:
    """Parse an answer.

    Args:
        text: The answer.
        finish_reason: Why generation ended, `stop` or `length`.

    Returns:
        The parse status, and the grade if the status is `ok`.
    """
    text = text.rpartition("</think>")[2]
    if not text.strip():
        return "empty", None
    value = only_value(text, "grade")
    if type(value) is int and value >= 0:
        text = str(value)
    match = _ANSWER.fullmatch(text)
    if match is None:
        return ("truncated" if finish_reason == "length" else "malformed"), None
    grade = int(match[1])
    return ("ok", grade) if grade <= HIGHEST else ("out_of_range", None)
