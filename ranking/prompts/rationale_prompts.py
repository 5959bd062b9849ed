"""Prompts for rationales, which explain why a passage is or is not relevant to a query.

A prompt is a YAML file with named parts and placeholders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.prompts.prompt_parts import DocumentPrompt, check_parts, draw_mark, fill, hash_of_parts, read_yaml
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
class RationalePrompt(DocumentPrompt):
    """The parts of a rationale prompt, which shows one passage. `closing` contains the query and the label."""

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and the version of sanitizing."""
        return hash_of_parts((*astuple(self), SANITIZING))

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
        return self.chat(self.opening, [document], closing)


def load_rationale_prompt(path: Path = RATIONALE) -> RationalePrompt:
    """Read a rationale prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or not a string, or a placeholder is missing or
            unknown.
    """
    parts = read_yaml(path)
    check_parts(path, parts, _ALLOWED, _REQUIRED)
    return RationalePrompt(**parts)
