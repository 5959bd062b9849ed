"""Count the prompts and tokens of pairwise and setwise teachers, for cost estimates."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from actors.teachers.comparing.choice_requests import ChoiceFiller
from actors.teachers.comparing.comparing_settings import (
    ComparingTeacherSettings,
    PairwiseTeacherSettings,
    SetwiseTeacherSettings,
)
from actors.teachers.comparing.comparison_ranking import pairs_to_compare
from ranking.labels.comparison_sorts import sliding_passes, top_of_heap
from ranking.labels.cost_estimate import ListCost
from ranking.prompts.choice_prompts import load_choice_prompt
from ranking.records import PreRankedList, content

_FILLED_PROMPTS = 20


def comparison_costs(settings: ComparingTeacherSettings, lists: Sequence[PreRankedList]) -> list[ListCost]:
    """Count the prompts and tokens that labelling each candidate list takes, without retries.

    The number of prompts of a heap depends on the answers: random answers are assumed. Of a list with many prompts, a
    random sample of 20 is filled, and their mean length is used for all.

    Args:
        settings: Teacher settings.
        lists: The candidate lists.

    Returns:
        Costs in the order of `lists`.
    """
    filler = ChoiceFiller(load_choice_prompt(settings.prompt_file), settings)
    costs = []
    for row in lists:
        prompts = prompts_of(settings, row)
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        sample = random.Random(row.query_id).sample(prompts, min(len(prompts), _FILLED_PROMPTS))
        lengths = [len(filler.fill(row.text, [texts[i] for i in shown], "estimate").tokens) for shown in sample]
        costs.append(
            ListCost(
                prompts=len(prompts),
                prompt_tokens=round(sum(lengths) * len(prompts) / max(1, len(lengths))),
                answer_tokens=len(prompts) * filler.max_tokens,
            )
        )
    return costs


def prompts_of(settings: ComparingTeacherSettings, row: PreRankedList) -> list[tuple[int, ...]]:
    """Return the documents of each prompt for a list, as indices into the list. Answers of sorts are random."""
    documents, asked = len(row.picked), list[tuple[int, ...]]()
    generator = random.Random(row.query_id)

    async def better(lower: int, upper: int) -> bool:
        asked.extend([(lower, upper), (upper, lower)])
        return generator.random() < 0.5

    async def best(shown: Sequence[int]) -> int:
        asked.append(tuple(shown))
        return generator.randrange(len(shown))

    if isinstance(settings, SetwiseTeacherSettings):
        asyncio.run(top_of_heap(documents, settings.top, settings.size, best))
    elif isinstance(settings, PairwiseTeacherSettings) and settings.method == "sliding":
        asyncio.run(sliding_passes(documents, settings.passes, better))
    elif isinstance(settings, PairwiseTeacherSettings):
        asked = [shown for one, other in pairs_to_compare(row, settings) for shown in ((one, other), (other, one))]
    return asked
