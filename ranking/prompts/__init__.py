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
from typing import Any

from ranking.errors import InputError
from ranking.prompts.prompt_parts import check_parts, drawn_mark, fill, read_yaml
from ranking.prompts.sanitizing import without_hidden, without_identifiers

LISTWISE = Path(__file__).parent / "listwise.yaml"
RANKGPT = Path(__file__).parent / "rankgpt.yaml"
MINILM_LIST = Path(__file__).parent / "minilm_list.yaml"
_PLACES = {
    "system": set[str](),
    "opening": {"query"},
    "document": {"number", "text", "mark"},
    "closing": {"query", "documents"},
}
_NEEDED = {"document": {"number", "text"}}


@dataclass(frozen=True)
class Prompt:
    """The parts of a listwise prompt. system may be empty; then there is no system message.

    disarm: whether query and documents are taken apart; false is a control that shows what this is good for.
    most: documents that it can show; None for any number.
    """

    system: str
    opening: str
    document: str
    closing: str
    disarm: bool = True
    most: int | None = None

    @property
    def hash(self) -> str:
        """Name the prompt by its words."""
        words = {name: held for name, held in asdict(self).items() if name != "most"}
        return hashlib.sha256(repr(words).encode("utf-8")).hexdigest()[:16]

    def messages(
        self, query: str, texts: Sequence[str], seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill the prompt in: chat messages, the same for the same arguments.

        texts: documents in the order in which they are shown, the first is [1]. seed: of the mark.
        special_tokens: of the teacher's tokenizer; they are taken apart in query and documents, as disarm says.
        Raises ValueError where there are more documents than it can show.
        """
        if self.most is not None and len(texts) > self.most:
            raise ValueError(
                f"the prompt shows {self.most} documents at most, not {len(texts)}: set pre_ranker.top and bottom, or teacher.window"
            )
        special = list(special_tokens)
        query, *shown = (disarm(text, special) if self.disarm else text for text in (query, *texts))
        mark = drawn_mark(seed, [query, *shown])
        documents = [
            fill(self.document, number=str(number), text=text, mark=mark) for number, text in enumerate(shown, start=1)
        ]
        closing = fill(self.closing, query=query, documents=str(len(shown)))
        opening = fill(self.opening, query=query)
        user = {"role": "user", "content": "\n\n".join([opening, *documents, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_prompt(path: Path = LISTWISE) -> Prompt:
    """Read a prompt file. Raises InputError for a missing part, an unknown one, or a brace that nothing fills."""
    held = read_yaml(path)
    disarmed = held.pop("disarm", True) if isinstance(held, dict) else True
    if not isinstance(disarmed, bool):
        raise InputError(f"{path}: part 'disarm' is true or false")
    most = held.pop("most", None) if isinstance(held, dict) else None
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        raise InputError(f"{path}: part 'most' is a number of documents, 1 or more")
    check_parts(path, held, _PLACES, _NEEDED, "maybe disarm or most, ")
    if not any("{query}" in held[part] for part in ("opening", "closing")):
        raise InputError(f"{path}: part 'opening' or 'closing' must hold {{query}}")
    return Prompt(**held, disarm=disarmed, most=most)


def control_tokens(tokenizer: Any) -> list[str]:
    """The tokens with which a tokenizer marks what is not text; words that were added to its vocabulary are text."""
    added = [token for token in tokenizer.get_added_vocab() if not token.strip().isalnum()]
    return list(dict.fromkeys([*tokenizer.all_special_tokens, *added]))


def disarm(text: str, special_tokens: Iterable[str] = ()) -> str:
    """Take apart what could pose as the prompt's own: identifiers, special tokens, control and invisible characters.

    "[3]" becomes "(3)", a special token loses its brackets and bars; words, scripts and line breaks stay. What
    counts as hidden or as an identifier stands in ranking.prompts.sanitizing. Words that ask or claim something
    stay too: the fence and the prompt's rules are all that stands against them.
    """
    text = without_hidden(text)
    for token in sorted(special_tokens, key=lambda token: -len(token)):
        if token.strip() and token in text:
            text = text.replace(token, f" {token.strip('<>|[]{}/').strip() or ' '} ")
    return without_identifiers(text)
