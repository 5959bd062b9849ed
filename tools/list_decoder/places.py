"""What the tokens of a prompt are, and which dimensions of a state hold what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 20
"""Documents of a prompt."""

ON = 1.5
"""What a channel holds, or its negative."""

AXES = 160
"""Dimensions of a query's vector and of a document's, behind the encoder's layers."""

BITS = 6
CODES = [
    [1.0 if number >> bit & 1 else -1.0 for bit in range(BITS)]
    for ones in (0, 3, 6)
    for number in range(2**BITS)
    if number.bit_count() == ones
]
"""Codes of which any two differ in two bits at least: of the query, of the documents 1 to 20, of an answer's beginning. Those of
documents are half +1 and half -1."""


@dataclass(frozen=True)
class MarkerTokens:
    """Numbers of the tokens that are no text. opening, first, later: of the identifiers 1 to 20: `<3>`, `[3]` and ` > [3]`."""

    begin: int
    document: int
    answer: int
    end: int
    opening: Sequence[int]
    first: Sequence[int]
    later: Sequence[int]


@dataclass(frozen=True)
class StateDimensions:
    """Dimensions of a state.

    code to answer, the channels: what a token stands in; whether that is the query; always on; whether the token is a [DOC], or [CLS];
    whether it is of the answer. near, opening: for the first layer only. listed, unlisted: the identifiers that an answer holds so far,
    and a place that none is written to. identifier: the end's, then the documents'. score: twice, with either sign. other: of what is
    no document. form, first: of an answer's token. zero: nothing. means: the query's, then the document's.
    """

    code: list[int]
    query: int
    one: int
    document: int
    answer: int
    near: list[int]
    opening: int
    listed: list[int]
    unlisted: int
    identifier: list[int]
    score: list[int]
    other: int
    form: int
    first: int
    zero: int
    means: list[int]

    @property
    def channels(self) -> list[int]:
        """What every layer renews."""
        return [*self.code, self.query, self.one, self.document, self.answer]

    @property
    def unread(self) -> list[int]:
        """What the encoder's layers do not read."""
        return [*self.channels, *self.near, self.opening]

    @property
    def blank(self) -> list[int]:
        """What an answer's token has nothing else in."""
        return [*self.listed, self.unlisted]

    @classmethod
    def of(cls, quiet: Sequence[int]) -> StateDimensions:
        """Take dimensions, the quietest first. Those of the first layer are used anew behind the encoder's layers."""
        channels, rest = list(quiet[: BITS + 4]), list(quiet[BITS + 4 :])
        counts = {
            "listed": MOST,
            "unlisted": 1,
            "identifier": MOST + 1,
            "score": 2,
            "other": 1,
            "form": 1,
            "first": 1,
            "zero": 1,
        }
        held: dict[str, list[int]] = {}
        start = 0
        for name, count in {**counts, "means": 2 * AXES}.items():
            held[name] = rest[start : start + count]
            start += count
        if start > len(rest):
            raise ValueError(f"states of {len(quiet)} dimensions are too small; {start + BITS + 4} are needed")
        query, one, document, answer = channels[BITS:]
        return cls(
            code=channels[:BITS],
            query=query,
            one=one,
            document=document,
            answer=answer,
            near=rest[:4],
            opening=rest[4],
            listed=held["listed"],
            unlisted=held["unlisted"][0],
            identifier=held["identifier"],
            score=held["score"],
            other=held["other"][0],
            form=held["form"][0],
            first=held["first"][0],
            zero=held["zero"][0],
            means=held["means"],
        )
