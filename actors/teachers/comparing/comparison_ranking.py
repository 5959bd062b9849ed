"""Rank a candidate list by comparisons of a few documents per prompt: pairwise or setwise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.teachers.comparing.choice_requests import Choice, ChoiceRequester
from actors.teachers.comparing.comparing_settings import (
    ComparingTeacherSettings,
    PairwiseTeacherSettings,
    SetwiseTeacherSettings,
)
from ranking.labels.comparison_pairs import all_pairs, sparse_pairs
from ranking.labels.comparison_scores import PairComparison, bradley_terry, win_rates
from ranking.labels.comparison_sorts import sliding_passes, top_of_heap
from ranking.records import PreRankedList

_SCORES = {"bradley_terry": bradley_terry, "win_rate": win_rates}


@dataclass
class ComparedList:
    """The ranking of a candidate list. Documents are indices into the list.

    Attributes:
        choices: All comparisons, each once.
        consistent: {pair, smaller index first: whether both orders of it have the same answer}, for the pairs with two
            usable answers.
        scores: Score of each document; None for a method that sorts.
        order: Documents that a sort found, best first; None for a method with scores.
        rest: Other documents, in the order that the sort leaves them in.
        failure: Why there is no ranking; None if there is one.
    """

    choices: list[Choice] = field(default_factory=list)
    consistent: dict[tuple[int, int], bool] = field(default_factory=dict)
    scores: list[float] | None = None
    order: list[int] | None = None
    rest: list[int] = field(default_factory=list)
    failure: str | None = None


def pairs_to_compare(row: PreRankedList, settings: PairwiseTeacherSettings) -> list[tuple[int, int]]:
    """Return the pairs of documents that the method `pairs` compares, as indices into the list."""
    documents = len(row.picked)
    if settings.pairs == "all":
        return all_pairs(documents)
    return sparse_pairs(documents, settings.pairs, f"{settings.seed} {row.query_id}")


class _ComparisonFailedError(Exception):
    """A comparison that a ranking needs failed."""


class ListComparer:
    """Compares the documents of one candidate list.

    Args:
        row: The candidate list.
        settings: Teacher settings.
        requester: Asks the model.
    """

    def __init__(self, row: PreRankedList, settings: ComparingTeacherSettings, requester: ChoiceRequester) -> None:
        self.row = row
        self.settings = settings
        self.requester = requester
        self.result = ComparedList()
        self._known: dict[tuple[tuple[int, ...], int], Choice] = {}

    async def rank(self) -> ComparedList:
        """Rank the list with the method that the settings describe."""
        try:
            if isinstance(self.settings, SetwiseTeacherSettings):
                await self._sort_by_sets(self.settings)
            elif isinstance(self.settings, PairwiseTeacherSettings) and self.settings.method == "pairs":
                await self._score_pairs(self.settings)
            elif isinstance(self.settings, PairwiseTeacherSettings):
                await self._sort_by_pairs(self.settings)
        except _ComparisonFailedError as failure:
            self.result.failure = str(failure)
        self.result.choices = [self._known[key] for key in sorted(self._known)]
        return self.result

    async def _score_pairs(self, settings: PairwiseTeacherSettings) -> None:
        pairs = pairs_to_compare(self.row, settings)
        results = await asyncio.gather(*(self._compare(*pair) for pair in pairs), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        comparisons = [result for result in results if isinstance(result, PairComparison)]
        if pairs and not comparisons:
            self._raise_unusable()
        self.result.scores = _SCORES[settings.scores](comparisons, len(self.row.picked))

    async def _sort_by_pairs(self, settings: PairwiseTeacherSettings) -> None:
        async def better(lower: int, upper: int) -> bool:
            comparison = await self._compare(lower, upper)
            return comparison is not None and comparison.share > 0.5

        order = await sliding_passes(len(self.row.picked), settings.passes, better)
        if self._known and not self.result.consistent:
            self._raise_unusable()
        self.result.order, self.result.rest = order[: settings.passes], order[settings.passes :]

    async def _sort_by_sets(self, settings: SetwiseTeacherSettings) -> None:
        async def best(documents: Sequence[int]) -> int:
            for attempt in range(1, settings.max_attempts + 1):
                shown = list(documents)
                random.Random(f"{settings.seed} {self.row.query_id} {shown} {attempt}").shuffle(shown)
                choice = await self._ask(shown, attempt)
                self._check(choice)
                if choice.usable:
                    return documents.index(choice.best)
            return self._raise_unusable()

        documents = range(len(self.row.picked))
        self.result.order = order = await top_of_heap(len(documents), settings.top, settings.size, best)
        self.result.rest = [index for index in documents if index not in set(order)]

    async def _compare(self, one: int, other: int) -> PairComparison | None:
        """Compare two documents in both orders. Returns None if one of the answers is unusable.

        If the answers disagree, both documents get half a win. The share of a document is the mean of its two shares.
        """
        first, second = await asyncio.gather(self._ask((one, other)), self._ask((other, one)))
        self._check(first)
        self._check(second)
        if not (first.usable and second.usable):
            return None
        self.result.consistent[min(one, other), max(one, other)] = first.best == second.best
        return PairComparison(one, other, (first.share(one) + second.share(one)) / 2)

    async def _ask(self, shown: Sequence[int], attempt: int = 1) -> Choice:
        """Ask the model, unless this list has already asked the same. Passes of a sort can repeat a comparison."""
        key = (tuple(shown), attempt)
        if key not in self._known:
            self._known[key] = await self.requester.choose(self.row, shown, attempt)
        return self._known[key]

    def _check(self, choice: Choice) -> None:
        """Raise an error if the engine failed. Another order of the documents would not help against that."""
        if choice.response.error is not None:
            raise _ComparisonFailedError(choice.response.error)

    def _raise_unusable(self) -> int:
        unusable = [self._known[key] for key in sorted(self._known) if not self._known[key].usable]
        raise _ComparisonFailedError(f"no usable answer: {unusable[-1].parsed.parse_status}")
