"""Find the frequent terms that a student's Token Selection ignores."""

from __future__ import annotations

from collections.abc import Sequence

from ranking.model_paths import model_path
from students.kinds import tokenizer_of
from students.student_settings import RraBertSettings
from students.token_selection import frequent_terms


def frequent_terms_of(student: RraBertSettings, texts: Sequence[str], language: str) -> frozenset[int]:
    """Return the keys of terms that occur in more than the fraction `max_document_frequency` of the texts.

    Runs as a Ray task.
    """
    control = student.term_control
    tokenizer = tokenizer_of(student, model_path(student.base))
    return frozenset(frequent_terms(tokenizer, texts, control.match, control.max_document_frequency, language))
