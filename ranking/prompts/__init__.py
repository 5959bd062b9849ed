"""Listwise prompts, which are YAML files with named parts and placeholders for the query and the documents.

Every label stores the hash of its prompt. There are two measures against prompt injection:

- A prompt file can put a mark, {mark}, around each document: a random delimiter that occurs in no document.
- Query and documents are sanitized: text that looks like an identifier or a special token is rewritten.

A prompt file with `disarm: false` inserts all texts unchanged, even if they contain special tokens. It serves only as a
baseline for comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ranking.errors import InputError
from ranking.prompts.prompt_parts import check_parts, draw_mark, fill, read_yaml
from ranking.prompts.sanitizing import without_hidden, without_identifiers

LISTWISE = Path(__file__).parent / "listwise.yaml"
RANKGPT = Path(__file__).parent / "rankgpt.yaml"
MINILM_LIST = Path(__file__).parent / "minilm_list.yaml"
_ALLOWED = {
    "system": set[str](),
    "opening": {"query"},
    "document": {"number", "text", "mark"},
    "closing": {"query", "documents"},
}
_REQUIRED = {"document": {"number", "text"}}


@dataclass(frozen=True)
class Prompt:
    """The parts of a listwise prompt.

    Attributes:
        system: Text of the system message. If empty, there is no system message.
        opening: Text before the documents.
        document: Template of one document.
        closing: Text after the documents.
        disarm: Whether query and documents are sanitized. False gives a baseline that shows the effect of sanitizing.
        max_documents: Maximum number of documents, called `most` in the prompt file. None for no limit.
    """

    system: str
    opening: str
    document: str
    closing: str
    disarm: bool = True
    max_documents: int | None = None

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and its `disarm` flag."""
        words = {name: value for name, value in asdict(self).items() if name != "max_documents"}
        return hashlib.sha256(repr(words).encode("utf-8")).hexdigest()[:16]

    def messages(
        self, query: str, texts: Sequence[str], seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: Text of the query.
            texts: Texts of the documents in prompt order. The first has the identifier [1].
            seed: Seed of the mark, the random delimiter around each document.
            special_tokens: Special tokens of the teacher's tokenizer. They are rewritten in query and documents.

        Returns:
            Chat messages with `role` and `content`.

        Raises:
            ValueError: There are more than `max_documents` documents.
        """
        if self.max_documents is not None and len(texts) > self.max_documents:
            raise ValueError(
                f"the prompt supports up to {self.max_documents} documents, not {len(texts)}; "
                "lower pre_ranker.top and pre_ranker.bottom, or set teacher.window"
            )
        special = list(special_tokens)
        query, *shown = (sanitize(text, special) if self.disarm else text for text in (query, *texts))
        mark = draw_mark(seed, [query, *shown])
        documents = [
            fill(self.document, number=str(number), text=text, mark=mark) for number, text in enumerate(shown, start=1)
        ]
        closing = fill(self.closing, query=query, documents=str(len(shown)))
        opening = fill(self.opening, query=query)
        user = {"role": "user", "content": "\n\n".join([opening, *documents, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_prompt(path: Path = LISTWISE) -> Prompt:
    """Read a listwise prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or of the wrong type, or a placeholder is missing
            or unknown.
    """
    parts = read_yaml(path)
    disarm = parts.pop("disarm", True) if isinstance(parts, dict) else True
    if not isinstance(disarm, bool):
        raise InputError(f"{path}: part 'disarm' must be true or false")
    max_documents = parts.pop("most", None) if isinstance(parts, dict) else None
    if max_documents is not None and (
        not isinstance(max_documents, int) or isinstance(max_documents, bool) or max_documents < 1
    ):
        raise InputError(f"{path}: part 'most' must be a number of documents, 1 or more")
    check_parts(path, parts, _ALLOWED, _REQUIRED, optional=("disarm", "most"))
    if not any("{query}" in parts[part] for part in ("opening", "closing")):
        raise InputError(f"{path}: part 'opening' or 'closing' must contain {{query}}")
    return Prompt(**parts, disarm=disarm, max_documents=max_documents)


def control_tokens(tokenizer: Any) -> list[str]:
    """Return the control tokens of a tokenizer: its special tokens, and its added tokens that are not plain words."""
    added = [token for token in tokenizer.get_added_vocab() if not token.strip().isalnum()]
    return list(dict.fromkeys([*tokenizer.all_special_tokens, *added]))


def sanitize(text: str, special_tokens: Iterable[str] = ()) -> str:
    """Rewrite document identifiers and special tokens, which could be mistaken for parts of the prompt.

    "[3]" becomes "(3)", and special tokens lose their brackets and bars. Invisible characters are removed. Words,
    scripts and line breaks do not change. `ranking.prompts.sanitizing` defines identifiers and invisible characters.
    Instructions in plain words remain: only the rules in the prompt and the mark, the random delimiter around each
    document, protect against them.

    Args:
        text: Text of a query or document.
        special_tokens: Special tokens of the tokenizer.
    """
    text = without_hidden(text)
    for token in sorted(special_tokens, key=lambda token: -len(token)):
        if token.strip() and token in text:
            text = text.replace(token, f" {token.strip('<>|[]{}/').strip() or ' '} ")
    return without_identifiers(text)
