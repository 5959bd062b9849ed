"""Prices of a hosted language model."""

from __future__ import annotations

from dataclasses import dataclass

from ranking.records import TokenCounts

_MILLION = 1_000_000


@dataclass(frozen=True)
class TokenPrices:
    """Prices per million tokens, in any currency.

    Attributes:
        input: Price of a million prompt tokens.
        output: Price of a million generated tokens.
    """

    input: float
    output: float

    def cost(self, tokens: TokenCounts) -> float:
        """Return the price of these tokens."""
        return (tokens.prompt * self.input + tokens.completion * self.output) / _MILLION
