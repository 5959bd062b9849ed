"""Parse the answer to a prompt that shows documents with the letters A, B, C, ... and asks for the best one."""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from ranking.labels.answer_markup import strip_emphasis, strip_markup, strip_thinking
from ranking.labels.listwise_answers import REFUSAL
from ranking.records import ParseStatus

LETTERS = string.ascii_uppercase
"""Letters of the documents in a prompt, in prompt order."""

_BARE = re.compile(r"[\[(]?([A-Z])[\]).:]*")
_WITH_WORDS = re.compile(
    r"(?:(?:the )?(?:answer|choice|best document)\s*(?:is)?[\s:]*)?(?:document|passage|text)?\s*"
    r"[\[(]?([A-Za-z])[\])]?\.?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class ParsedChoice:
    """A parsed answer.

    Attributes:
        parse_status: Most severe problem found, or `ok`.
        shares: Share of each document of the prompt, in prompt order; they sum to 1. A chosen document has 1. Empty if
            the answer is unusable.
    """

    parse_status: ParseStatus
    shares: tuple[float, ...] = ()

    @property
    def best(self) -> int:
        """Place of the document with the largest share, from 0. Only for usable answers."""
        return max(range(len(self.shares)), key=lambda place: self.shares[place])


def read_choice(raw: str, documents: int, finish_reason: str | None = None) -> ParsedChoice:
    """Parse an answer that names a letter. Malformed text results in a parse status, never in an exception.

    The answer is a letter, alone or after words such as "Answer:" or "Document". Any other text is unusable, because a
    letter inside a sentence can be an article ("A passage about ...") or belong to a document that is rejected.

    Args:
        raw: The generated text.
        documents: Number of documents in the prompt.
        finish_reason: The engine's finish reason. `length` means that the answer was truncated.
    """
    text, has_thinking = strip_thinking(raw)
    text = strip_emphasis(strip_markup(text)).strip()
    bare = _BARE.fullmatch(text)
    match = bare or _WITH_WORDS.fullmatch(text)
    place = LETTERS.index(match[1].upper()) if match else None
    if place is not None and place < documents:
        status: ParseStatus = "thinking" if has_thinking else "ok" if bare else "prose"
        return ParsedChoice(status, tuple(float(index == place) for index in range(documents)))
    if place is not None:
        return ParsedChoice("out_of_range")
    if not text and not has_thinking:
        return ParsedChoice("empty")
    if REFUSAL.search(text):
        return ParsedChoice("refused")
    return ParsedChoice("truncated" if finish_reason == "length" else "prose")


def write_log_probabilities(log_probabilities: Sequence[float]) -> str:
    """Write the log-probabilities of the letters, in prompt order, as the text of a response."""
    return json.dumps(list(log_probabilities))


def read_log_probabilities(raw: str) -> ParsedChoice:
    """Read a text of `write_log_probabilities`. The shares are the probabilities, normalised to sum to 1."""
    values = json.loads(raw)
    highest = max(values)
    if highest == -math.inf:
        return ParsedChoice("empty")
    weights = [math.exp(value - highest) for value in values]
    return ParsedChoice("ok", tuple(weight / sum(weights) for weight in weights))
