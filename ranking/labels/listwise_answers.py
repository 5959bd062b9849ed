"""Parse listwise answers into an order of documents and a parse status, which reports what was wrong with the answer.

A well-formed answer is a chain of document identifiers, best first: `[3] > [1] > [2]`. It may omit documents. The
method uses omissions as a training signal: omitted documents become negatives.
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
"""{parse status: whether an answer with this status may become a label, if it lists at least one document}.

- duplicates: only the first mention of each identifier counts.
- out_of_range: identifiers of no document in the prompt are dropped.
- thinking: only the text after the closing `</think>` tag counts.
- prose: only the single chain of identifiers in the text counts.
- truncated: not usable, because documents may be missing only because the answer was cut off.

The label stores the numbers of repeated and out-of-range identifiers and of omitted documents.
"""


@dataclass(frozen=True)
class ParsedAnswer:
    """A parsed answer.

    Attributes:
        parse_status: Most severe problem found, or `ok`.
        order: Distinct identifiers of documents in the prompt, best first. 1 is the first document of the prompt.
        duplicates: Number of repeated identifiers.
        out_of_range: Number of identifiers that belong to no document in the prompt.
        missing: Number of documents in the prompt that `order` omits.
    """

    parse_status: ParseStatus
    order: tuple[int, ...]
    duplicates: int
    out_of_range: int
    missing: int

    @property
    def usable(self) -> bool:
        """Whether the answer may become a label: its parse status allows it, and its order is not empty."""
        return USABLE[self.parse_status] and bool(self.order)


def read_answer(raw: str, documents: int, finish_reason: str | None = None) -> ParsedAnswer:
    """Parse an answer. Malformed text results in a parse status, never in an exception.

    If an answer has several problems, the parse status is the first that applies of: empty, refused, truncated,
    thinking, prose, out_of_range, duplicates.

    Args:
        raw: The generated text.
        documents: Number of documents in the prompt.
        finish_reason: The engine's finish reason. `length` means that the answer was truncated.
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
    """Return the text after the last thinking tag (such as `</think>`), and whether there was such a tag.

    If the last tag is an opening tag, the returned text is empty.
    """
    tags = list(_THINKING.finditer(raw))
    if not tags:
        return raw, False
    return (raw[tags[-1].end() :] if tags[-1].group().startswith("</") else ""), True


def _find_chain(text: str) -> tuple[str, bool]:
    """Return the chain of identifiers in a text, and whether the chain is the whole text.

    If there is other text, the chain must be the only one with two or more identifiers. Otherwise the returned chain is
    empty, because it is unclear which identifiers are the answer.
    """
    chains = [match.group() for match in _CHAIN.finditer(text)]
    if len(chains) == 1 and chains[0] == text.strip():
        return chains[0], True
    long = [chain for chain in chains if ">" in chain]
    return (long[0] if len(long) == 1 else ""), False


def longest_answer(documents: int) -> str:
    """Return the well-formed answer that lists every document. Its length determines the limit on generated tokens."""
    return SEPARATOR.join(f"[{number}]" for number in range(1, documents + 1))


def is_complete_answer(text: str, documents: int) -> bool:
    """Return whether a text is a complete well-formed answer: distinct identifiers in range, joined with ` > `."""
    numbers = [number for number in _PARTS.findall(text) if int(number) <= documents]
    return (
        bool(numbers)
        and len(set(numbers)) == len(numbers)
        and text == SEPARATOR.join(f"[{number}]" for number in numbers)
    )


def is_answer_prefix(text: str, documents: int) -> bool:
    """Return whether a text is a prefix of a well-formed answer with the separator ` > `.

    Structured output restricts generation to such prefixes. A regular expression that requires distinct identifiers
    would be impractical: for 20 documents, its automaton has a state for each of the 2^20 sets of identifiers already
    listed.
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
