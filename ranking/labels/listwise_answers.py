"""Parse listwise answers into an order of documents and a parse status, which reports what was wrong with the answer.

A well-formed answer is a chain of document identifiers, best first: `[3] > [1] > [2]`. It may omit documents. The
method uses omissions as a training signal: omitted documents become negatives. A label must therefore never be made
from a fragment of an answer. The grammar, after thinking, tags, special tokens and invisible characters are removed
(`ranking.labels.answer_markup`):

    answer     = chain | text chain { text chain } text
    chain      = identifier { ">" identifier }          white space may surround every part
    identifier = "[" digits "]"
    text       = any text, also empty, without a reference to a document

- In an answer with text, a chain has at least two identifiers, and all chains have the same identifiers in the same
  order: a repeated chain is one chain.
- References to documents are square brackets, separators (`>` and similar signs, `=`) and numbers from 1 to the number
  of documents. Not references are the number that begins a list item, as in `1. [3] > [1]`, and counts, as in `the 20
  passages`. Numbers that are written as words are not recognised.
- Asterisks and backticks are ignored (`**[3]** > [1]`), except between two digits. The parse status is then `prose`.

An identifier outside the chain, or a chain that breaks in its middle (`[3] = [1] > [2]`, `[3] (best) > [1]`), does not
match the grammar, so no order is read. The only repairs inside a chain are those that the parse status records:
repeated identifiers and identifiers of no document are dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ranking.labels.answer_markup import strip_emphasis, strip_markup, strip_thinking, thinks_amid_answer
from ranking.records import ParseStatus

SEPARATOR = " > "
_PARTS = re.compile(r"\[([1-9][0-9]{0,8})\]")
_IDENTIFIER = re.compile(r"\[\s*(\d{1,9})\s*\]")
_CHAIN = re.compile(r"\[\s*\d{1,9}\s*\](?:\s*>\s*\[\s*\d{1,9}\s*\])*")
_TORN_END = re.compile(r"(?:>\s*|\[\s*\d*\s*)$")
_OPEN_END = re.compile(r">\s*(?:\[\s*)?$")
_GAP = "\x00"
_LIST_MARKER = re.compile(rf"^\s*\d{{1,3}}[.)]\s*(?={_GAP})", re.MULTILINE)
_COUNT = re.compile(
    r"\b\d{1,9}\s+(?:[^\W\d]+\s+)?(?:passages|documents|docs|texts|results|items|candidates|snippets)\b", re.IGNORECASE
)
_SEPARATOR_OR_BRACKET = re.compile(r"[\[\]［］【】>＞﹥≻≽≥›»→⇒=＝]|&gt;")
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
- thinking: only the text after the last closing tag counts. It lists no document if the answer began before it.
- prose: the chain counts if the text matches the grammar; otherwise no document is listed.
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
    text = strip_markup(text)
    chain, is_whole_text = ("", False) if thinks_amid_answer(raw) else _find_chain(text, documents)
    mentioned = [int(number) for number in _IDENTIFIER.findall(chain)]
    in_range = [number for number in mentioned if 1 <= number <= documents]
    order = tuple(dict.fromkeys(in_range))
    duplicates, out_of_range = len(in_range) - len(order), len(mentioned) - len(in_range)
    parse_status: ParseStatus = "ok"
    if not text.strip() and not has_thinking:
        parse_status = "empty"
    elif not mentioned and REFUSAL.search(text):
        parse_status = "refused"
    elif finish_reason == "length" or _TORN_END.search(strip_emphasis(text).rstrip()):
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


def _find_chain(text: str, documents: int) -> tuple[str, bool]:
    """Return the chain of an answer without markup, and whether it is the whole text.

    The chain is empty if the text does not match the grammar.
    """
    plain = strip_emphasis(text)
    answer = _OPEN_END.sub("", plain.rstrip())
    chains = _CHAIN.findall(answer)
    if len(chains) == 1 and chains[0] == answer.strip():
        return chains[0], plain == text
    distinct = {tuple(_IDENTIFIER.findall(chain)) for chain in chains}
    if len(distinct) != 1 or ">" not in chains[0] or _has_reference(_CHAIN.sub(_GAP, answer), documents):
        return "", False
    return chains[0], False


def _has_reference(text: str, documents: int) -> bool:
    """Return whether the text around chains, each replaced by `_GAP`, may refer to a document."""
    text = _COUNT.sub("", _LIST_MARKER.sub("", text))
    numbers = (int(digits) for digits in re.findall(r"\d+", text) if len(digits) < 10)
    return bool(_SEPARATOR_OR_BRACKET.search(text)) or any(1 <= number <= documents for number in numbers)


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
