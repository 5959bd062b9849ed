"""Parse generated rationales, decide which of them may be used for training, and add them to their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ranking.labels.answer_markup import strip_thinking
from ranking.labels.listwise_answers import REFUSAL
from ranking.records import Label, Rationale, RationaleStatus

MAX_RATIONALE_LENGTH = 600
"""Maximum length of a rationale in characters, about twice the length of two long sentences."""

_REFUSED = re.compile(rf"(?:(?:sorry|unfortunately|i apologi[sz]e)\W+(?:but )?)?{REFUSAL.pattern}", re.IGNORECASE)
_STATED = re.compile(
    r"\b(?:passage|document|text|it|this)\s+(?:is|was)(?P<between>(?:n['’]t)?(?:\s+\w+){0,2}?)\s+(?P<no>ir)?relevant\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"n['’]t|\b(?:not|never|hardly|barely)\b", re.IGNORECASE)


def parse_rationale(
    raw: str, passage: str, relevant: bool, finish_reason: str | None = None
) -> tuple[RationaleStatus, str]:
    """Parse the rationale that an LLM wrote about a passage.

    If the text has several problems, the status is the first that applies of:

    - truncated: generation stopped at the token limit.
    - empty: the text has no letters or digits.
    - refused: the text begins with a refusal.
    - too_long: the text has more than `MAX_RATIONALE_LENGTH` characters.
    - copied: the whole text occurs in the passage.
    - contradicts: the text states the opposite label. This is detected only in English, from "relevant", "not relevant"
      and "irrelevant".

    Args:
        raw: The generated text.
        passage: The passage that the rationale is about.
        relevant: The label that the LLM was asked to explain.
        finish_reason: The engine's finish reason. `length` means that the text was truncated.

    Returns:
        The status, and the text after any thinking, with collapsed white space.
    """
    text = " ".join(strip_thinking(raw)[0].split())
    if finish_reason == "length":
        return "truncated", text
    if not _bare(text):
        return "empty", text
    if _REFUSED.match(text):
        return "refused", text
    if len(text) > MAX_RATIONALE_LENGTH:
        return "too_long", text
    if _bare(text) in _bare(passage):
        return "copied", text
    if stated_labels(text) == {not relevant}:
        return "contradicts", text
    return "ok", text


def stated_labels(text: str) -> set[bool]:
    """Return the labels that an English text states: True for relevant, False for not relevant, both, or none."""
    return {not (match["no"] or _NEGATION.search(match["between"])) for match in _STATED.finditer(text)}


def with_rationales(label: Label, rationales: Iterable[Rationale]) -> Label:
    """Return a copy of a label with the rationales of status `ok`. The rationale of other candidates is None."""
    texts = {rationale.doc_id: rationale.text for rationale in rationales if rationale.status == "ok"}
    return label.model_copy(
        update={
            "candidates": [
                candidate.model_copy(update={"rationale": texts.get(candidate.doc_id)})
                for candidate in label.candidates
            ]
        }
    )


def _bare(text: str) -> str:
    """Keep only letters and digits, case-folded, to find copies despite changes in quotation marks, spaces or case."""
    return "".join(character for character in text.casefold() if character.isalnum())
