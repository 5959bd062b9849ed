"""Prompts for rationales, which explain why a passage is or is not relevant to a query.

A prompt is a YAML file with named parts and placeholders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.prompts.prompt_parts import check_parts, draw_mark, fill, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

RATIONALE = Path(__file__).parent / "rationale.yaml"
LABELS = {True: "relevant", False: "not relevant"}
_ALLOWED = {
    "system": set[str](),
    "opening": set[str](),
    "document": {"text", "mark"},
    "closing": {"query", "label", "mark"},
}
_REQUIRED = {"document": {"text"}, "closing": {"query", "label"}}


@dataclass(frozen=True)
class RationalePrompt:
    """The parts of a rationale prompt.

    Attributes:
        system: Text of the system message. If empty, there is no system message.
        opening: Text before the passage.
        document: Template of the passage.
        closing: Template of the text after the passage, with the query and the label.
    """

    system: str
    opening: str
    document: str
    closing: str

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and the version of sanitizing."""
        return hashlib.sha256(repr((*astuple(self), SANITIZING)).encode("utf-8")).hexdigest()[:16]

    def messages(
        self, query: str, passage: str, relevant: bool, seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: Text of the query.
            passage: Text of the passage.
            relevant: The label to explain.
            seed: Seed of the mark.
            special_tokens: Special tokens of the tokenizer of the LLM that writes the rationale. They are rewritten in
                query and passage.

        Returns:
            Chat messages with `role` and `content`.
        """
        special = list(special_tokens)
        query, passage = sanitize(query, special), sanitize(passage, special)
        mark = draw_mark(seed, [query, passage])
        document = fill(self.document, text=passage, mark=mark)
        closing = fill(self.closing, query=query, label=LABELS[relevant], mark=mark)
        user = {"role": "user", "content": "\n\n".join([self.opening, document, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_rationale_prompt(path: Path = RATIONALE) -> RationalePrompt:
    """Read a rationale prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or not a string, or a placeholder is missing or
            unknown.
    """
    parts = read_yaml(path)
    check_parts(path, parts, _ALLOWED, _REQUIRED)
    return RationalePrompt(**parts)
