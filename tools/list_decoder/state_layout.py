"""Marker tokens of prompts and answers, and the layout of the decoder's state dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_DOCUMENTS = 20
"""Maximum number of documents in a prompt."""

ON = 1.5
"""Value of a channel (a state dimension that is on or off) that is on. It has the negative value if it is off."""

AXES = 160
"""Number of dimensions of the query vector and of the document vector, after the encoder's layers."""

BITS = 6
"""Number of bits in the code that identifies a passage."""

CODES = [
    [1.0 if number >> bit & 1 else -1.0 for bit in range(BITS)]
    for ones in (0, 3, 6)
    for number in range(2**BITS)
    if number.bit_count() == ones
]
"""Codes of the passages, each a list of bits +1 or -1: of the query (index 0), of the documents (1 to 20) and of the
start of the answer (21). Any two codes differ in at least two bits. Document codes have as many +1 as -1."""


@dataclass(frozen=True)
class MarkerTokens:
    """Token ids of everything in a prompt or an answer that is not text.

    Attributes:
        begin: `[CLS]`, which starts the prompt.
        document: `[DOC]`, which ends a document.
        answer: `[ANSWER]`, which ends the prompt.
        end: `[SEP]`, which ends the answer.
        opening: `<1>` to `<20>`, which start a document.
        first: `[1]` to `[20]`, which start an answer.
        later: ` > [1]` to ` > [20]`, which continue an answer.
    """

    begin: int
    document: int
    answer: int
    end: int
    opening: Sequence[int]
    first: Sequence[int]
    later: Sequence[int]


@dataclass(frozen=True)
class StateDimensions:
    """Indices of the state dimensions, by purpose.

    Attributes listed after `opening` may share dimensions with `near` and `opening`, which only the first layer uses.

    Attributes:
        code: Channels with the code of the passage that a token belongs to.
        query: Channel that is on for tokens of the query.
        one: Channel that is always on.
        document: Channel that is on for [DOC] and [CLS].
        answer: Channel that is on for tokens of the answer.
        near: Position encoding, for the first layer only.
        opening: Marks opening tokens, for the first layer only.
        listed: One dimension per document identifier, marks those that the answer has listed so far.
        unlisted: Reference value for `listed`: a dimension to which no identifier is written.
        identifier: One dimension for the end of the list, then one per document identifier.
        score: Two dimensions. A document's score is their difference.
        other: Marks tokens other than [DOC] and [CLS].
        form: Selects between first and later tokens of an answer.
        first: Marks [ANSWER], where the first token of an answer is predicted.
        zero: Always zero, as a reference value.
        means: Mean vector of the query, then mean vector of the document.
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
        """All channels: dimensions that every encoder layer restores."""
        return [*self.code, self.query, self.one, self.document, self.answer]

    @property
    def unread(self) -> list[int]:
        """Dimensions that the encoder's layers do not read."""
        return [*self.channels, *self.near, self.opening]

    @property
    def blank(self) -> list[int]:
        """Dimensions that, in answer tokens, contain nothing but the listed identifiers."""
        return [*self.listed, self.unlisted]

    @classmethod
    def of(cls, quiet: Sequence[int]) -> StateDimensions:
        """Assign dimensions to purposes. Those that only the first layer uses get a second purpose in later layers.

        Args:
            quiet: All dimensions of a state, sorted by increasing energy (mean square) in the encoder.

        Raises:
            ValueError: There are too few dimensions.
        """
        channels, rest = list(quiet[: BITS + 4]), list(quiet[BITS + 4 :])
        counts = {
            "listed": MAX_DOCUMENTS,
            "unlisted": 1,
            "identifier": MAX_DOCUMENTS + 1,
            "score": 2,
            "other": 1,
            "form": 1,
            "first": 1,
            "zero": 1,
        }
        groups: dict[str, list[int]] = {}
        start = 0
        for name, count in {**counts, "means": 2 * AXES}.items():
            groups[name] = rest[start : start + count]
            start += count
        if start > len(rest):
            raise ValueError(f"states have {len(quiet)} dimensions, at least {start + BITS + 4} are needed")
        query, one, document, answer = channels[BITS:]
        return cls(
            code=channels[:BITS],
            query=query,
            one=one,
            document=document,
            answer=answer,
            near=rest[:4],
            opening=rest[4],
            listed=groups["listed"],
            unlisted=groups["unlisted"][0],
            identifier=groups["identifier"],
            score=groups["score"],
            other=groups["other"][0],
            form=groups["form"][0],
            first=groups["first"][0],
            zero=groups["zero"][0],
            means=groups["means"],
        )
