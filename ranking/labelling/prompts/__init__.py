"""Listwise prompts as data: a YAML file with named parts, filled in with a query and documents.

The file's hash stands in every label, so a label tells which words it was asked with. Documents are fenced:
a mark that none of them holds divides them, and what could pose as an identifier or as the chat template's
own tokens is taken apart first. A prompt with `disarm: false` passes the texts as they are, down to tokens that
the tokenizer takes for its own: it is for comparison only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ranking.errors import InputError
from ranking.labelling.disarming import without_hidden, without_identifiers
from ranking.labelling.prompts.parts import check_parts, drawn_mark, fill, read_yaml

LISTWISE = Path(__file__).parent / "listwise.yaml"
RANKGPT = Path(__file__).parent / "rankgpt.yaml"
_PLACES = {
    "system": set[str](),
    "opening": set[str](),
    "document": {"number", "text", "mark"},
    "closing": {"query", "documents"},
}
_NEEDED = {"document": {"number", "text"}, "closing": {"query"}}


@dataclass(frozen=True)
class Prompt:
    """The parts of a listwise prompt. system may be empty; then there is no system message.

    disarm: whether query and documents are taken apart; false is a control that shows what this is good for.
    """

    system: str
    opening: str
    document: str
    closing: str
    disarm: bool = True

    @property
    def hash(self) -> str:
        """Name the prompt by its words."""
        return hashlib.sha256(repr(asdict(self)).encode("utf-8")).hexdigest()[:16]

    def messages(self, query: str, texts: Sequence[str], seed: str, special_tokens: Iterable[str] = ()) -> list[dict[str, str]]:
        """Fill the prompt in: chat messages, the same for the same arguments.

        texts: documents in the order in which they are shown, the first is [1]. seed: of the mark.
        special_tokens: of the teacher's tokenizer; they are taken apart in query and documents, as disarm says.
        """
        special = list(special_tokens)
        query, *shown = (disarm(text, special) if self.disarm else text for text in (query, *texts))
        mark = drawn_mark(seed, [query, *shown])
        documents = [fill(self.document, number=str(number), text=text, mark=mark) for number, text in enumerate(shown, start=1)]
        closing = fill(self.closing, query=query, documents=str(len(shown)))
        user = {"role": "user", "content": "\n\n".join([self.opening, *documents, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_prompt(path: Path = LISTWISE) -> Prompt:
    """Read a prompt file. Raises InputError for a missing part, an unknown one, or a brace that nothing fills."""
    held = read_yaml(path)
    disarmed = held.pop("disarm", True) if isinstance(held, dict) else True
    if not isinstance(disarmed, bool):
        raise InputError(f"{path}: part 'disarm' is true or false")
    check_parts(path, held, _PLACES, _NEEDED, "maybe disarm, ")
    return Prompt(**held, disarm=disarmed)


def disarm(text: str, special_tokens: Iterable[str] = ()) -> str:
    """Take apart what could pose as the prompt's own: identifiers, special tokens, control and invisible characters.

    "[3]" becomes "(3)", a special token loses its brackets and bars; words, scripts and line breaks stay. What
    counts as hidden or as an identifier stands in ranking.labelling.disarming. Words that ask or claim something
    stay too: the fence and the prompt's rules are all that stands against them.
    """
    text = without_hidden(text)
    for token in sorted(special_tokens, key=lambda token: -len(token)):
        if token.strip() and token in text:
            text = text.replace(token, f" {token.strip('<>|[]{}/').strip() or ' '} ")
    return without_identifiers(text)
