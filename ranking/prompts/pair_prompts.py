"""Prompts about one query and one document: a YAML file with the parts system and pair."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ranking.errors import InputError
from ranking.prompts import disarm
from ranking.prompts.prompt_parts import read_yaml

YES_NO = Path(__file__).parent / "yes_no.yaml"
_PLACES = ("query", "document")


@dataclass(frozen=True)
class PairPrompt:
    """The parts of a prompt about a pair. system may be empty; then there is no system message."""

    system: str
    pair: str

    @property
    def hash(self) -> str:
        """Name the prompt by its words."""
        return hashlib.sha256(repr((self.system, self.pair)).encode("utf-8")).hexdigest()[:16]

    def messages(self, query: str, document: str, special_tokens: Iterable[str] = ()) -> list[dict[str, str]]:
        """Fill the prompt in: chat messages. special_tokens: of the teacher's tokenizer; they are taken apart in both texts."""
        special = list(special_tokens)
        values = {"query": disarm(query, special), "document": disarm(document, special)}
        user = {
            "role": "user",
            "content": re.sub(r"\{(query|document)\}", lambda found: values[found.group(1)], self.pair),
        }
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


def load_pair_prompt(path: Path = YES_NO) -> PairPrompt:
    """Read a prompt file. Raises InputError where it is no YAML, or has other parts, or pair lacks {query} or {document}."""
    held = read_yaml(path)
    if (
        not isinstance(held, dict)
        or set(held) != {"system", "pair"}
        or not all(isinstance(text, str) for text in held.values())
    ):
        raise InputError(f"{path}: a prompt about a pair has the parts system and pair, each a text, and no others")
    for place in _PLACES:
        if f"{{{place}}}" not in held["pair"]:
            raise InputError(f"{path}: part 'pair' must hold {{{place}}}")
    return PairPrompt(**held)
