"""Pointwise prompts, with one query and one document. A prompt is a YAML file with the keys `system` and `pair`.

Query and document are sanitized. With the placeholder {mark}, the prompt fences them as a listwise prompt does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ranking.errors import InputError
from ranking.prompts.prompt_parts import chat_messages, draw_mark, hash_of_parts, read_yaml
from ranking.prompts.sanitizing import SANITIZING, sanitize

YES_NO = Path(__file__).parent / "yes_no.yaml"
GRADE = Path(__file__).parent / "grade.yaml"
_PLACEHOLDERS = ("query", "document")


@dataclass(frozen=True)
class PairPrompt:
    """The parts of a pointwise prompt.

    Attributes:
        system: Text of the system message. If empty, there is no system message.
        pair: Template of the user message, with the placeholders {query}, {document} and optionally {mark}.
    """

    system: str
    pair: str

    @property
    def hash(self) -> str:
        """Hash of the prompt's parts and the version of sanitizing."""
        return hash_of_parts((self.system, self.pair, SANITIZING))

    def messages(self, query: str, document: str, special_tokens: Iterable[str] = ()) -> list[dict[str, str]]:
        """Fill in the prompt. The same arguments give the same messages.

        Args:
            query: Text of the query.
            document: Text of the document.
            special_tokens: Special tokens of the teacher's tokenizer. They are rewritten in both texts.

        Returns:
            Chat messages with `role` and `content`.
        """
        special = list(special_tokens)
        values = {"query": sanitize(query, special), "document": sanitize(document, special)}
        values["mark"] = draw_mark("", list(values.values()))
        user = re.sub(r"\{(query|document|mark)\}", lambda match: values[match.group(1)], self.pair)
        return chat_messages(self.system, user)


def load_pair_prompt(path: Path = YES_NO) -> PairPrompt:
    """Read a pointwise prompt from a YAML file.

    Raises:
        InputError: The file cannot be read or is not valid YAML, it does not have exactly the keys `system` and `pair`
            with strings as values, or `pair` lacks {query} or {document}.
    """
    parts = read_yaml(path)
    if (
        not isinstance(parts, dict)
        or set(parts) != {"system", "pair"}
        or not all(isinstance(text, str) for text in parts.values())
    ):
        raise InputError(f"{path}: a pointwise prompt file must have exactly the string parts system, pair")
    for name in _PLACEHOLDERS:
        if f"{{{name}}}" not in parts["pair"]:
            raise InputError(f"{path}: part 'pair' must contain {{{name}}}")
    return PairPrompt(**parts)
