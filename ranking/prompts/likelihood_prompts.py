"""Prompts of the query likelihood teacher: they show a document and ask for a query.

A prompt is a YAML file with the keys `system` and `passage`. The document is sanitized, and so is the query. With the
placeholder {mark}, the prompt fences the document as a listwise prompt does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ranking.prompts.prompt_parts import chat_messages, check_parts, draw_mark, fill, hash_of_parts, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

QUERY_LIKELIHOOD = Path(__file__).parent / "query_likelihood.yaml"
_ALLOWED = {"system": set[str](), "passage": {"document", "mark"}}
_REQUIRED = {"passage": {"document"}}


@dataclass(frozen=True)
class LikelihoodPrompt:
    """The parts of a query likelihood prompt.

    Attributes:
        system: Text of the system message. If empty, there is no system message.
        passage: Template of the user message, with the placeholders {document} and optionally {mark}.
    """

    system: str
    passage: str

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and the version of sanitizing."""
        return hash_of_parts((self.system, self.passage, SANITIZING))

    def messages(self, query: str, document: str, special_tokens: Iterable[str] = ()) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: Text of the query, which is not in the prompt. Only the mark depends on it.
            document: Text of the document.
            special_tokens: Special tokens of the teacher's tokenizer. They are rewritten in the document.

        Returns:
            Chat messages with `role` and `content`.
        """
        text = sanitize(document, list(special_tokens))
        return chat_messages(self.system, fill(self.passage, document=text, mark=draw_mark(query, [text])))


def load_likelihood_prompt(path: Path = QUERY_LIKELIHOOD) -> LikelihoodPrompt:
    """Read a query likelihood prompt from a YAML file.

    Raises:
        InputError: The file is unreadable, a part is missing, unknown or not a string, or a placeholder is missing or
            unknown.
    """
    parts = read_yaml(path)
    check_parts(path, parts, _ALLOWED, _REQUIRED)
    return LikelihoodPrompt(**parts)
