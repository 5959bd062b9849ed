"""Text that a language model generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Completion:
    """Text that a language model generated, with token counts.

    Attributes:
        text: The generated text.
        finish_reason: Why generation ended, `stop` or `length`.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens of the generated text.
        cached_tokens: Tokens of the prompt that were in the prefix cache.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    log_probabilities: Mapping[int, float] = field(default_factory=dict)
