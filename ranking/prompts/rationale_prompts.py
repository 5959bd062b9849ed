"""Prompts that ask why a passage is relevant to a query, or why not: a YAML file with named parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.prompts import disarm
from ranking.prompts.prompt_parts import check_parts, drawn_mark, fill, read_yaml

RATIONALE = Path(__file__).parent / "rationale.yaml"
LABELS = {True: "relevant", False: "not relevant"}
_PLACES = {"system": set[str](), "opening": set[str](), "document": {"text", "mark"}, "closing": {"query", "label"}}
_NEEDED = {"document": {"text"}, "closing": {"query", "label"}}


@dataclass(frozen=True)
class RationalePrompt:
    """The parts of a prompt for a rationale. system may be empty; then there is no system message."""

    system: str
    opening: str
    document: str
    closing: str

    @property
    def hash(self) -> str:
        """Name the prompt by its words."""
        return hashlib.sha256(repr(astuple(self)).encode("utf-8")).hexdigest()[:16]

    def messages(
        self, query: str, passage: str, relevant: bool, seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill the prompt in: chat messages, the same for the same arguments.

        relevant: what was decided. seed: of the mark. special_tokens: of the writer's tokenizer; they are taken
        apart in query and passage.
        """
        special = list(special_tokens)
        query, passage = disarm(query, special), disarm(passage, special)
        document = fill(self.document, text=passage, mark=drawn_mark(seed, [query, passage]))
        closing = fill(self.closing, query=query, label=LABELS[relevant])
        user = {"role": "user", "content": "\n\n".join([self.opening, document, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_rationale_prompt(path: Path = RATIONALE) -> RationalePrompt:
    """Read a prompt file. Raises InputError for a missing part, an unknown one, or a brace that nothing fills."""
    held = read_yaml(path)
    check_parts(path, held, _PLACES, _NEEDED)
    return RationalePrompt(**held)
