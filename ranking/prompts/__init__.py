"""Listwise prompts, which are YAML files with named parts and placeholders for the query and the documents.

Every label stores the hash of its prompt. There are two measures against prompt injection:

- A prompt file can fence the query and each document with the mark of the prompt, {mark}, see `draw_mark`.
- Query and documents are sanitized: text that looks like an identifier, a ranking, a fence or a special token is
  rewritten, see `sanitize`.

A prompt file with `sanitize: false` inserts all texts unchanged, even if they contain special tokens. It serves only as
a baseline for comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ranking.errors import InputError
from ranking.prompts.prompt_parts import DocumentPrompt, check_parts, draw_mark, fill, hash_of_parts, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

__all__ = ["LISTWISE", "RANKGPT", "Prompt", "bundled_prompt", "control_tokens", "load_prompt", "sanitize"]

LISTWISE = Path(__file__).parent / "listwise.yaml"
RANKGPT = Path(__file__).parent / "rankgpt.yaml"
_ALLOWED = {
    "system": set[str](),
    "opening": {"query", "mark"},
    "document": {"number", "text", "mark"},
    "closing": {"query", "documents", "mark"},
}
_REQUIRED = {"document": {"number", "text"}}


@dataclass(frozen=True)
class Prompt(DocumentPrompt):
    """The parts of a listwise prompt.

    Attributes:
        sanitize: Whether query and documents are sanitized. False gives a baseline that shows the effect of sanitizing.
        max_documents: Maximum number of documents. None for no limit.
    """

    sanitize: bool = True
    max_documents: int | None = None

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts, its `sanitize` flag and the version of sanitizing."""
        words = {name: value for name, value in asdict(self).items() if name != "max_documents"}
        words["version"] = SANITIZING
        return hash_of_parts(words)

    def messages(
        self, query: str, texts: Sequence[str], seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: Text of the query.
            texts: Texts of the documents in prompt order. The first has the identifier [1].
            seed: Seed of the mark.
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
        query, *shown = (sanitize(text, special) if self.sanitize else text for text in (query, *texts))
        mark = draw_mark(seed, [query, *shown])
        documents = [
            fill(self.document, number=str(number), text=text, mark=mark) for number, text in enumerate(shown, start=1)
        ]
        closing = fill(self.closing, query=query, documents=str(len(shown)), mark=mark)
        opening = fill(self.opening, query=query, mark=mark)
        return self.chat(opening, documents, closing)


def bundled_prompt(name: str) -> Path:
    """Return the path of a prompt file in this package.

    Args:
        name: File name without its suffix, such as `listwise`.

    Raises:
        InputError: There is no such file.
    """
    folder = Path(__file__).parent
    path = folder / f"{name}.yaml"
    if not path.is_file():
        names = sorted(file.stem for file in folder.glob("*.yaml"))
        raise InputError(f"prompt {name!r}: not in ranking/prompts; choose one of {', '.join(names)}")
    return path


def load_prompt(path: Path = LISTWISE) -> Prompt:
    """Read a listwise prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or of the wrong type, or a placeholder is missing
            or unknown.
    """
    parts = read_yaml(path)
    sanitizing = parts.pop("sanitize", True) if isinstance(parts, dict) else True
    if not isinstance(sanitizing, bool):
        raise InputError(f"{path}: part 'sanitize' must be true or false")
    max_documents = parts.pop("max_documents", None) if isinstance(parts, dict) else None
    if max_documents is not None and (
        not isinstance(max_documents, int) or isinstance(max_documents, bool) or max_documents < 1
    ):
        raise InputError(f"{path}: part 'max_documents' must be a number of documents, 1 or more")
    check_parts(path, parts, _ALLOWED, _REQUIRED, optional=("sanitize", "max_documents"))
    if not any("{query}" in parts[part] for part in ("opening", "closing")):
        raise InputError(f"{path}: part 'opening' or 'closing' must contain {{query}}")
    return Prompt(**parts, sanitize=sanitizing, max_documents=max_documents)


def control_tokens(tokenizer: Any) -> list[str]:
    """Return the control tokens of a tokenizer: its special tokens, and its added tokens that are not plain words."""
    added = [token for token in tokenizer.get_added_vocab() if not token.strip().isalnum()]
    return list(dict.fromkeys([*tokenizer.all_special_tokens, *added]))
