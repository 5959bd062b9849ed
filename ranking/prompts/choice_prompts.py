"""Prompts that name documents A, B, C, ... and ask for the best one: pairwise and setwise prompts.

A prompt is a YAML file with named parts and placeholders. Query and documents are sanitized as in a listwise prompt;
letters in brackets are rewritten too. With the placeholder {mark}, the prompt fences them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.labels.choice_answers import LETTERS
from ranking.prompts.letters import LETTERS_VERSION, without_letters
from ranking.prompts.prompt_parts import DocumentPrompt, check_parts, draw_mark, fill, hash_of_parts, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

PAIRWISE = Path(__file__).parent / "pairwise.yaml"
SETWISE = Path(__file__).parent / "setwise.yaml"
_ALLOWED = {
    "system": set[str](),
    "opening": {"query", "mark"},
    "document": {"letter", "text", "mark"},
    "closing": {"query", "letters", "mark"},
}
_REQUIRED = {"document": {"letter", "text"}, "closing": {"query"}}


@dataclass(frozen=True)
class ChoicePrompt(DocumentPrompt):
    """The parts of a pairwise or setwise prompt. `closing` contains the query and the letters."""

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and the versions of sanitizing."""
        return hash_of_parts((*astuple(self), SANITIZING, LETTERS_VERSION))

    def messages(
        self, query: str, texts: Sequence[str], seed: str, special_tokens: Iterable[str] = ()
    ) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: Text of the query.
            texts: Texts of the documents in prompt order. The first has the letter A.
            seed: Seed of the mark.
            special_tokens: Special tokens of the teacher's tokenizer. They are rewritten in query and documents.

        Returns:
            Chat messages with `role` and `content`.
        """
        special = list(special_tokens)
        query, *shown = (without_letters(sanitize(text, special)) for text in (query, *texts))
        mark = draw_mark(seed, [query, *shown])
        letters = LETTERS[: len(shown)]
        documents = [
            fill(self.document, letter=letter, text=text, mark=mark)
            for letter, text in zip(letters, shown, strict=True)
        ]
        choices = f"{', '.join(letters[:-1])} or {letters[-1]}" if len(letters) > 1 else letters
        closing = fill(self.closing, query=query, letters=choices, mark=mark)
        opening = fill(self.opening, query=query, mark=mark)
        return self.chat(opening, documents, closing)


def load_choice_prompt(path: Path = PAIRWISE) -> ChoicePrompt:
    """Read a pairwise or setwise prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or not a string, or a placeholder is missing or
            unknown.
    """
    parts = read_yaml(path)
    check_parts(path, parts, _ALLOWED, _REQUIRED)
    return ChoicePrompt(**parts)
