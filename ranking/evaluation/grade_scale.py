"""Map a judge's grades from 0 to 3 to the grades of a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ranking.errors import InputError

SCALES = {3: (0, 1, 2, 3), 2: (0, 0, 1, 2), 1: (0, 0, 1, 1)}
"""Grades of a collection for the judge's 0, 1, 2 and 3, by the collection's highest grade.

The judge's 2 and 3 mean that the passage answers the query, so they become relevant in collections with binary grades.
Its 1 means the same subject without an answer, which is not relevant there.
"""


@dataclass(frozen=True)
class GradeScale:
    """A mapping of the judge's grades to those of a collection.

    Attributes:
        grades: The collection's grades for the judge's 0, 1, 2 and 3.
    """

    grades: tuple[int, int, int, int]

    def __call__(self, grade: int) -> int:
        """Return the collection's grade for a grade of the judge."""
        return self.grades[grade]

    @property
    def relevant(self) -> int:
        """Lowest grade of the collection that counts as relevant in binary agreement: that of the judge's 2."""
        return self.grades[2]

    def nearest(self, human: int) -> int:
        """Return the grade of the scale that is nearest to a human grade, the lower one of two. -1 becomes 0."""
        return min(self.grades, key=lambda grade: (abs(grade - human), grade))


def scale_for(qrels: Mapping[str, Mapping[str, int]], chosen: Sequence[int] | None) -> GradeScale:
    """Return the scale of a collection.

    Args:
        qrels: Human judgements.
        chosen: The setting `evaluation.judge.scale`. None derives the scale from the highest human grade.

    Raises:
        InputError: The highest human grade is above 3, and no scale is set.
    """
    if chosen is not None:
        zero, one, two, three = chosen
        return GradeScale((zero, one, two, three))
    highest = max((grade for grades in qrels.values() for grade in grades.values()), default=3)
    if highest > max(SCALES):
        raise InputError(
            f"setting 'evaluation.judge.scale': the highest human grade is {highest}, which has no default scale; set "
            "the collection's grades for the judge's grades 0, 1, 2 and 3, such as [0, 1, 2, 4]"
        )
    return GradeScale(SCALES[max(1, highest)])
