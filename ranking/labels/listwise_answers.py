"""Parse listwise answers into an order and a parse status. The status reports every repair.

A well-formed answer is a chain of identifiers, best first: `[3] > [1] > [2]`. It may omit documents: the method
uses omissions as training signal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ranking.records import ParseStatus

SEPARATOR = " > "
_PARTS = re.compile(r"\[([1-9][0-9]{0,8})\]")
_IDENTIFIER = re.compile(r"\[\s*(\d{1,9})\s*\]")
_CHAIN = re.compile(r"\[\s*\d{1,9}\s*\](?:\s*>\s*\[\s*\d{1,9}\s*\])*")
_TORN_END = re.compile(r"(?:>\s*|\[\s*\d*\s*)$")
_THINKING = re.compile(r"</?think(?:ing)?>", re.IGNORECASE)
REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't|will not)|as an ai\b"
    r"|(?:is|was) not possible to rank)",
    re.IGNORECASE,
)

USABLE: dict[ParseStatus, bool] = {
    "ok": True,
    "duplicates": True,
    "out_of_range": True,
    "thinking": True,
    "prose": True,
    "truncated": False,
    "empty": False,
    "refused": False,
}
"""Whether an answer with a parse status may become a label, provided that it lists at least one document.

- duplicates: the first mention counts.
- out_of_range: such identifiers are dropped.
- thinking: the text after the closing tag counts.
- prose: the only chain in the text counts.
- truncated: not usable, because the omitted documents may only be missing from the cut end.

The label stores all counts.
"""


@dataclass(frozen=True)
class ParsedAnswer:
    """A parsed answer.

    Attributes:
        parse_status: most severe problem found, or `ok`.
        order: distinct identifiers in range, best first; 1 is the prompt's first document.
        duplicates: number of repeated identifiers.
        out_of_range: number of identifiers that the prompt does not have.
        missing: number of the prompt's documents that `order` omits.
    """

    parse_status: ParseStatus
    order: tuple[int, ...]
    duplicates: int
    out_of_range: int
    missing: int

    @property
    def usable(self) -> bool:
        """Whether the order is non-empty and may become a label."""
        return USABLE[self.parse_status] and bool(self.order)


def read_answer(raw: str, documents: int, finish_reason: str | None = None) -> ParsedAnswer:
    """Parse an answer. Any text gives a parse status, never an exception.

    If several problems apply, the parse status is the first of: empty, refused, truncated, thinking, prose,
    out_of_range, duplicates.

    Args:
        raw: the generated text.
        documents: number of documents in the prompt.
        finish_reason: the engine's finish reason; `length` means truncated.
    """
    text, has_thinking = strip_thinking(raw)
    chain, is_whole_text = _find_chain(text)
    mentioned = [int(number) for number in _IDENTIFIER.findall(chain)]
    in_range = [number for number in mentioned if 1 <= number <= documents]
    order = tuple(dict.fromkeys(in_range))
    duplicates, out_of_range = len(in_range) - len(order), len(mentioned) - len(in_range)
    parse_status: ParseStatus = "ok"
    if not raw.strip():
        parse_status = "empty"
    elif not mentioned and REFUSAL.search(text):
        parse_status = "refused"
    elif finish_reason == "length" or _TORN_END.search(text.rstrip()):
        parse_status = "truncated"
    elif has_thinking:
        parse_status = "thinking"
    elif not is_whole_text:
        parse_status = "prose"
    elif out_of_range:
        parse_status = "out_of_range"
    elif duplicates:
        parse_status = "duplicates"
    return ParsedAnswer(parse_status, order, duplicates, out_of_range, documents - len(order))


def strip_thinking(raw: str) -> tuple[str, bool]:
    """Return the text after the last thinking tag, and whether there was a tag.

    If the last tag is an opening tag, the text is empty.
    """
    tags = list(_THINKING.finditer(raw))
    if not tags:
        return raw, False
    return (raw[tags[-1].end() :] if tags[-1].group().startswith("</") else ""), True


def _find_chain(text: str) -> tuple[str, bool]:
    """Return the text's chain of identifiers, and whether the chain is the whole text.

    The chain is empty if the text is prose with several chains of two or more identifiers, or with single ones only.
    """
    chains = [match.group() for match in _CHAIN.finditer(text)]
    if len(chains) == 1 and chains[0] == text.strip():
        return chains[0], True
    long = [chain for chain in chains if ">" in chain]
    return (long[0] if len(long) == 1 else ""), False


def longest_answer(documents: int) -> str:
    """Return the well-formed answer that lists every document, to size the token limit."""
    return SEPARATOR.join(f"[{number}]" for number in range(1, documents + 1))


def is_complete_answer(text: str, documents: int) -> bool:
    """Return whether a text is a complete well-formed answer: a chain of distinct identifiers in range."""
    numbers = [number for number in _PARTS.findall(text) if int(number) <= documents]
    return (
        bool(numbers)
        and len(set(numbers)) == len(numbers)
        and text == SEPARATOR.join(f"[{number}]" for number in numbers)
    )


def is_answer_prefix(text: str, documents: int) -> bool:
    """Return whether a text is a prefix of a well-formed answer with the separator ` > `.

    Structured output allows exactly these texts. A regular expression for distinct identifiers would be impractical:
    for 20 documents its automaton has a state for each of the 2^20 sets of identifiers already listed.
    """
    *listed, last = text.split(SEPARATOR)
    used = {part[1:-1] for part in listed}
    if len(used) < len(listed) or not all(_is_identifier(part, documents) for part in listed):
        return False
    free = [str(number) for number in range(1, documents + 1) if str(number) not in used]
    if last == "":
        return bool(free)
    number, closed, rest = last[1:].partition("]")
    if not last.startswith("["):
        return False
    if not closed:
        return not number or (number.isdecimal() and any(other.startswith(number) for other in free))
    return number in free and SEPARATOR.startswith(rest) and (not rest or len(free) > 1)


def _is_identifier(part: str, documents: int) -> bool:
    return bool(_PARTS.fullmatch(part)) and int(part[1:-1]) <= documents
