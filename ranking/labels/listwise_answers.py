"""A listwise answer read: what order it gives, and what is the matter with it. Nothing is repaired unseen.

An answer in form is a chain of identifiers, best first: `[3] > [1] > [2]`. It may leave documents out; the
method learns from that.
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
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't|will not)|as an ai\b|(?:is|was) not possible to rank)",
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
"""Whether an answer's order may become a label, as long as it lists anything.

duplicates: the first mention counts. out_of_range: such identifiers are left out. thinking: what comes after
the closed thought counts. prose: its one chain counts. truncated: what it left out means nothing, so it
cannot be learned from. All counts stand in the label.
"""


@dataclass(frozen=True)
class ParsedAnswer:
    """An answer, read. order: distinct identifiers in range, 1 is the prompt's first document; best first.

    missing: documents of the prompt that order leaves out.
    """

    parse_status: ParseStatus
    order: tuple[int, ...]
    duplicates: int
    out_of_range: int
    missing: int

    @property
    def usable(self) -> bool:
        """Whether the order may become a label."""
        return USABLE[self.parse_status] and bool(self.order)


def read_answer(raw: str, documents: int, finish_reason: str | None = None) -> ParsedAnswer:
    """Read an answer over so many documents. finish_reason: the engine's; `length` means cut off.

    Any text gives a parse status, none an exception. Where several things are the matter, the parse status is the
    most severe: empty, refused, truncated, thinking, prose, out_of_range, duplicates.
    """
    text, thought = after_thought(raw)
    chain, alone = _the_chain(text)
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
    elif thought:
        parse_status = "thinking"
    elif not alone:
        parse_status = "prose"
    elif out_of_range:
        parse_status = "out_of_range"
    elif duplicates:
        parse_status = "duplicates"
    return ParsedAnswer(parse_status, order, duplicates, out_of_range, documents - len(order))


def after_thought(raw: str) -> tuple[str, bool]:
    """What follows the last thinking tag, and whether there was one; a thought that was not closed has no answer."""
    tags = list(_THINKING.finditer(raw))
    if not tags:
        return raw, False
    return (raw[tags[-1].end() :] if tags[-1].group().startswith("</") else ""), True


def _the_chain(text: str) -> tuple[str, bool]:
    """The one chain of identifiers of a text, and whether it is all of the text.

    Where prose holds several chains of two or more, or only single identifiers, none of them is the answer.
    """
    chains = [found.group() for found in _CHAIN.finditer(text)]
    if len(chains) == 1 and chains[0] == text.strip():
        return chains[0], True
    long = [chain for chain in chains if ">" in chain]
    return (long[0] if len(long) == 1 else ""), False


def longest_answer(documents: int) -> str:
    """An answer in form that lists every document, to leave room for."""
    return SEPARATOR.join(f"[{number}]" for number in range(1, documents + 1))


def may_end(text: str, documents: int) -> bool:
    """Whether a text is a whole answer in form: a chain of distinct identifiers in range."""
    numbers = [number for number in _PARTS.findall(text) if int(number) <= documents]
    return (
        bool(numbers)
        and len(set(numbers)) == len(numbers)
        and text == SEPARATOR.join(f"[{number}]" for number in numbers)
    )


def may_go_on(text: str, documents: int) -> bool:
    """Whether a text is the beginning of an answer in form, with the separator written ` > `.

    This is what structured output allows. That identifiers are distinct is no regular expression of any
    practical size: over 20 documents its automaton has a state for each of the 2^20 sets already listed.
    """
    *listed, last = text.split(SEPARATOR)
    used = {part[1:-1] for part in listed}
    if len(used) < len(listed) or not all(_is_identifier(part, documents) for part in listed):
        return False
    free = [str(number) for number in range(1, documents + 1) if str(number) not in used]
    if last == "":
        return bool(free)
    number, closed, after = last[1:].partition("]")
    if not last.startswith("["):
        return False
    if not closed:
        return not number or (number.isdecimal() and any(other.startswith(number) for other in free))
    return number in free and SEPARATOR.startswith(after) and (not after or len(free) > 1)


def _is_identifier(part: str, documents: int) -> bool:
    return bool(_PARTS.fullmatch(part)) and int(part[1:-1]) <= documents
