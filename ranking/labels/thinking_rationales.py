"""Make rationales of a listwise teacher's thought: for each candidate, the first sentence that names only it."""

from __future__ import annotations

import re

from ranking.labels.answer_markup import strip_thinking
from ranking.labels.rationale_parsing import MAX_RATIONALE_LENGTH
from ranking.labels.relevance import relevance
from ranking.records import Label, Rationale

_IDENTIFIER = re.compile(r"\[\s*(\d{1,4})\s*\]")
_NAMED = re.compile(r"\b(?:document|passage|doc|text)?\s*\[\s*\d{1,4}\s*\]", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|$)|\n|$)")
_TAG = re.compile(r"[<\[]/?(?:think(?:ing)?|thought|reasoning)[>\]]", re.IGNORECASE)
_MIN_WORDS = 3


def thinking_rationales(label: Label) -> list[Rationale]:
    """Extract a rationale for each candidate from the thought before the teacher's answer.

    The identifier of the document becomes "the passage". Only an answer to a single prompt is used: in several prompts,
    the same identifier means different documents.

    Returns:
        One rationale per candidate, in order. Its status is `unmatched` if no sentence names only this candidate, and
        `too_long` for sentences of more than `MAX_RATIONALE_LENGTH` characters.
    """
    sentences = _sentences_by_identifier(thought_of(label))
    relevant = relevance(label)
    return [
        _rationale(candidate.doc_id, relevant[index], sentences.get(candidate.prompt_position))
        for index, candidate in enumerate(label.candidates)
    ]


def thought_of(label: Label) -> str:
    """Return the thought before the teacher's answer; empty if there is none, or the label has several answers."""
    raw = label.answer.raw or ""
    answer, has_thought = strip_thinking(raw)
    if not has_thought or label.answer.orders != 1 or len(re.findall(r"</think", raw, re.IGNORECASE)) > 1:
        return ""
    return _TAG.sub(" ", raw[: len(raw) - len(answer)])


def _sentences_by_identifier(thought: str) -> dict[int, str]:
    """Return the first sentence that names one identifier and no other, for each identifier."""
    sentences: dict[int, str] = {}
    for match in _SENTENCE.finditer(thought):
        identifiers = {int(number) for number in _IDENTIFIER.findall(match.group())}
        text = " ".join(_NAMED.sub(" the passage", match.group()).split())
        if len(identifiers) == 1 and len(text.split()) > _MIN_WORDS:
            sentences.setdefault(identifiers.pop(), text[:1].upper() + text[1:])
    return sentences


def _rationale(doc_id: str, relevant: bool, text: str | None) -> Rationale:
    if text is None:
        return Rationale(doc_id=doc_id, relevant=relevant, status="unmatched", text="")
    status = "too_long" if len(text) > MAX_RATIONALE_LENGTH else "ok"
    return Rationale.model_validate({"doc_id": doc_id, "relevant": relevant, "status": status, "text": text})
