"""Prompts with which a language model writes queries for a document.

A prompt is a YAML file with named parts and placeholders. The document and the example queries are sanitized.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from ranking.languages import NONE
from ranking.prompts.prompt_parts import check_parts, draw_mark, fill, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

GENERATE = Path(__file__).parent / "generate.yaml"
_OPENING = {"count", "language", "styles"}
_ALLOWED = {
    "system": set[str](),
    "opening": _OPENING,
    "mixed": set[str](),
    "imitated": {"examples"},
    "document": {"text", "mark"},
    "closing": {"count", "answer"},
}
_REQUIRED = {"opening": {"styles"}, "imitated": {"examples"}, "document": {"text"}, "closing": {"answer"}}


@dataclass(frozen=True)
class GenerationPrompt:
    """The parts of a prompt.

    Attributes:
        system: Text of the system message. If empty, there is no system message.
        opening: Text before the document.
        mixed: What the opening says about the style of the queries if there are no example queries.
        imitated: What it says if there are.
        document: Template of the document.
        closing: Text after the document, with an example of the answer's form.
    """

    system: str
    opening: str
    mixed: str
    imitated: str
    document: str
    closing: str

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and the version of sanitizing."""
        return hashlib.sha256(repr((*astuple(self), SANITIZING)).encode("utf-8")).hexdigest()[:16]

    def messages(
        self,
        passage: str,
        queries: int,
        language: str,
        examples: Sequence[str],
        seed: str,
        special_tokens: Iterable[str] = (),
    ) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            passage: Text of the document.
            queries: Number of queries to write.
            language: Language of the collection, a value of `collection.language`.
            examples: Example queries. Empty: the default mix of styles.
            seed: Seed of the mark.
            special_tokens: Special tokens of the model's tokenizer. They are rewritten in document and examples.

        Returns:
            Chat messages with `role` and `content`.
        """
        special = list(special_tokens)
        text = sanitize(passage, special)
        shown = "\n".join(f"- {sanitize(' '.join(example.split()), special)}" for example in examples)
        styles = fill(self.imitated, examples=shown) if examples else self.mixed
        opening = fill(self.opening, count=str(queries), language=language_name(language), styles=styles)
        document = fill(self.document, text=text, mark=draw_mark(seed, [text, shown]))
        closing = fill(self.closing, count=str(queries), answer=_form("example" if examples else "question"))
        user = {"role": "user", "content": "\n\n".join([opening, document, closing])}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def language_name(language: str) -> str:
    """Return how a prompt names the language of a collection."""
    return "the language of the passage" if language == NONE else language.capitalize()


def load_generation_prompt(path: Path = GENERATE) -> GenerationPrompt:
    """Read a prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or not a string, or a placeholder is missing or
            unknown.
    """
    parts = read_yaml(path)
    check_parts(path, parts, _ALLOWED, _REQUIRED)
    return GenerationPrompt(**parts)


def _form(style: str) -> str:
    """Return the form of an answer with one query."""
    return json.dumps({"queries": [{"style": style, "text": "..."}]})
