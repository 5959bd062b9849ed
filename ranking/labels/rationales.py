"""A rationale read: whether a student may learn from it, and how rationales come back to the labels they explain."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ranking.labels.listwise_answers import REFUSAL, after_thought
from ranking.records import Label, Rationale, RationaleStatus

MAX_RATIONALE_LENGTH = 600
"""Characters. Two long sentences have about half of that."""

_REFUSED = re.compile(rf"(?:(?:sorry|unfortunately|i apologi[sz]e)\W+(?:but )?)?{REFUSAL.pattern}", re.IGNORECASE)
_SAID = re.compile(
    r"\b(?:passage|document|text|it|this)\s+(?:is|was)(?P<between>(?:n['’]t)?(?:\s+\w+){0,2}?)\s+(?P<no>ir)?relevant\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"n['’]t|\b(?:not|never|hardly|barely)\b", re.IGNORECASE)


def parse_rationale(
    raw: str, passage: str, relevant: bool, finish_reason: str | None = None
) -> tuple[RationaleStatus, str]:
    """Read what was written about a passage. relevant: what the writer was told. finish_reason: `length` means cut off.

    Returns a status and the text, without a thought before it and with white space joined. Where several things
    are the matter, the first of these counts: empty, truncated, refused (at once), too_long, copied
    (all of it stands in the passage), contradicts (it calls the passage what it is not; only seen in English, and
    only where it says relevant, not relevant or irrelevant).
    """
    text = " ".join(after_thought(raw)[0].split())
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
    if said_labels(text) == {not relevant}:
        return "contradicts", text
    return "ok", text


def said_labels(text: str) -> set[bool]:
    """What an English text calls the passage: relevant, not relevant, both or neither."""
    return {not (found["no"] or _NEGATION.search(found["between"])) for found in _SAID.finditer(text)}


def with_rationales(label: Label, rationales: Iterable[Rationale]) -> Label:
    """Give a label's candidates the rationales that may be learned from; the others have none."""
    held = {rationale.doc_id: rationale.text for rationale in rationales if rationale.status == "ok"}
    return label.model_copy(
        update={
            "candidates": [
                candidate.model_copy(update={"rationale": held.get(candidate.doc_id)}) for candidate in label.candidates
            ]
        }
    )


def _bare(text: str) -> str:
    """Letters and digits alone, so that quotation marks and spacing hide no copy."""
    return "".join(character for character in text.casefold() if character.isalnum())
