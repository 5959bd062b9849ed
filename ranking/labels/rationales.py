"""Parse generated rationales, decide which may be used for training, and attach them to their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ranking.labels.listwise_answers import REFUSAL, strip_thinking
from ranking.records import Label, Rationale, RationaleStatus

MAX_RATIONALE_LENGTH = 600
"""Maximum length in characters, about twice that of two long sentences."""

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

    If several problems apply, the status is the first of: truncated, empty, refused (at the start of the text),
    too_long, copied (the whole text occurs in the passage), contradicts (states the opposite label). A contradiction
    is detected only in English, from "relevant", "not relevant" and "irrelevant".

    Args:
        raw: the generated text.
        passage: the passage that the rationale explains.
        relevant: the label in the prompt.
        finish_reason: the engine's finish reason; `length` means truncated.

    Returns:
        A status, and the text without thinking and with collapsed white space.
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
    """Return the labels that an English text states: relevant (True), not relevant (False), both or neither."""
    return {not (match["no"] or _NEGATION.search(match["between"])) for match in _STATED.finditer(text)}


def with_rationales(label: Label, rationales: Iterable[Rationale]) -> Label:
    """Return the label with the rationales of status `ok`; its other candidates get None."""
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
    """Keep only letters and digits, to find copies despite changed quotation marks and spaces."""
    return "".join(character for character in text.casefold() if character.isalnum())
