"""Prompts for rationales, which explain why a passage is or is not relevant: a YAML file with named parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.prompts import sanitize
from ranking.prompts.prompt_parts import check_parts, draw_mark, fill, read_yaml

RATIONALE = Path(__file__).parent / "rationale.yaml"
LABELS = {True: "relevant", False: "not relevant"}
_ALLOWED = {"system": set[str](), "opening": set[str](), "document": {"text", "mark"}, "closing": {"query", "label"}}
_REQUIRED = {"document": {"text"}, "closing": {"query", "label"}}


@dataclass(frozen=True)
class RationalePrompt:
    """The parts of a rationale prompt.

    Attributes:
        system: text of the system message; empty for none.
        opening: text before the passage.
        document: template of the passage.
        closing: text after the passage, with the query and the label.
    """

    system: str
    opening: str
    document: str
    closing: str

    @property
    def hash(self) -> str:
        """Hash of the prompt text."""
        return hashlib.sha256(repr(astuple(self)).encode("utf-8")).hexdigest()[:16]

    def messages(
        self, query: str, passage: str, relevant: bool, seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: text of the query.
            passage: text of the passage.
            relevant: the label to explain.
            seed: seed of the random mark.
            special_tokens: special tokens of the writer's tokenizer, to sanitize in query and passage.

        Returns:
            Chat messages with `role` and `content`.
        """
        special = list(special_tokens)
        query, passage = sanitize(query, special), sanitize(passage, special)
        document = fill(self.document, text=passage, mark=draw_mark(seed, [query, passage]))
        closing = fill(self.closing, query=query, label=LABELS[relevant])
        user = {"role": "user", "content": "\n\n".join([self.opening, document, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_rationale_prompt(path: Path = RATIONALE) -> RationalePrompt:
    """Read a prompt file.

    Raises:
        InputError: if the file is unreadable, a part is missing or unknown, or a placeholder is missing or unknown.
    """
    parts = read_yaml(path)
    check_parts(path, parts, _ALLOWED, _REQUIRED)
    return RationalePrompt(**parts)
