"""Prompts that rerankers were trained with, as their authors published them.

A prompt is a YAML file: a list of `pieces`, which are tokenized one by one; the tokens `positive` and `negative`, whose
logits give the score (the difference, or `positive` alone if `negative` is null); the default `instruction`, or null.
Query and document are sanitized as in all prompts. There is no fence, because the model was trained without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.errors import InputError
from ranking.prompts.prompt_parts import check_parts, fill, hash_of_parts, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

_KEYS = {"pieces", "positive", "negative", "instruction"}
_INSTRUCTION = "{instruction}"


@dataclass(frozen=True)
class PublishedPrompt:
    """A published prompt.

    Attributes:
        pieces: Text of the prompt, with the placeholders {query}, {document} and optionally {instruction}.
        positive: Token of the answer that the document is relevant.
        negative: Token of the answer that it is not; None if the score is the logit of `positive` alone.
        instruction: The instruction; None for none.
    """

    pieces: tuple[str, ...]
    positive: str
    negative: str | None
    instruction: str | None

    @property
    def hash(self) -> str:
        """Hash of the prompt with its instruction, and the version of sanitizing."""
        return hash_of_parts((*astuple(self), SANITIZING))

    def fill(self, query: str, document: str, special_tokens: Iterable[str] = ()) -> list[str]:
        """Fill in the prompt. Lines with {instruction} are left out if there is no instruction.

        Args:
            query: Text of the query.
            document: Text of the document.
            special_tokens: Special tokens of the teacher's tokenizer. They are rewritten in both texts.

        Returns:
            The pieces, whose concatenated tokens are the prompt.
        """
        special = list(special_tokens)
        values = {"query": sanitize(query, special), "document": sanitize(document, special)}
        return [fill(self._instructed(piece), instruction=self.instruction or "", **values) for piece in self.pieces]

    def _instructed(self, piece: str) -> str:
        if self.instruction or _INSTRUCTION not in piece:
            return piece
        return "".join(line for line in piece.splitlines(keepends=True) if _INSTRUCTION not in line)


def is_published(path: Path) -> bool:
    """Return whether a prompt file has pieces, and not the parts `system` and `pair`.

    Raises:
        InputError: The file cannot be read or is not valid YAML.
    """
    parts = read_yaml(path)
    return isinstance(parts, dict) and "pieces" in parts


def load_published_prompt(path: Path, instruction: str | None = None) -> PublishedPrompt:
    """Read a published prompt from a YAML file.

    Args:
        path: The file.
        instruction: Instruction that replaces the default one. An empty text means no instruction.

    Raises:
        InputError: The file is unreadable or malformed, or it has no place for the instruction.
    """
    parts = read_yaml(path)
    pieces = parts.get("pieces") if isinstance(parts, dict) else None
    if not isinstance(pieces, list) or set(parts) != _KEYS or not isinstance(parts["positive"], str):
        raise InputError(
            f"{path}: a published prompt must have exactly the parts pieces (a list), positive, negative, instruction"
        )
    for name in ("negative", "instruction"):
        if not isinstance(parts[name], str | None):
            raise InputError(f"{path}: part {name!r} must be a text or null")
    named = {f"pieces[{place}]": piece for place, piece in enumerate(pieces)}
    check_parts(path, named, {name: {"query", "document", "instruction"} for name in named}, {})
    for name in ("query", "document"):
        if sum(piece.count(f"{{{name}}}") for piece in pieces) != 1:
            raise InputError(f"{path}: the pieces must contain {{{name}}} once")
    if instruction and not any(_INSTRUCTION in piece for piece in pieces):
        raise InputError(f"setting 'teacher.instruction': the prompt {path.name} has no {_INSTRUCTION}; remove it")
    chosen = parts["instruction"] if instruction is None else instruction or None
    return PublishedPrompt(tuple(pieces), parts["positive"], parts["negative"], chosen)
