"""Measure the answers that the list decoder generates for validation lists: form, length, order and stability."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import OPTForCausalLM, PreTrainedTokenizerFast

from ranking.labels.listwise_answers import read_answer
from tools.list_decoder.state_layout import MAX_DOCUMENTS
from tools.list_material import Material

_MAX_ANSWER_TOKENS = 2 * MAX_DOCUMENTS
"""Maximum tokens of an answer, more than a well-formed answer has."""


@torch.inference_mode()
def describe_answers(
    decoder: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, material: Material, threshold: float, count: int
) -> str:
    """Generate answers for the first lists, each shown in two random orders, and describe them in one line.

    Uses greedy decoding.

    Args:
        decoder: The decoder.
        tokenizer: Its tokenizer.
        material: The lists.
        threshold: Documents with a target score below this should not be listed.
        count: Number of lists.
    """
    well_formed, listed, expected = 0, 0, 0
    with_target, between_shuffles = [0, 0], [0, 0]
    for number in range(count):
        targets = material.targets(number)
        ranks = []
        for order in (
            random.Random(f"{shuffle} {number}").sample(range(len(targets)), len(targets)) for shuffle in range(2)
        ):
            prompt = material.prompt(number, order).to(decoder.device)
            generated = decoder.generate(prompt[None], max_new_tokens=_MAX_ANSWER_TOKENS, do_sample=False)[
                0, len(prompt) :
            ]
            answer = read_answer(tokenizer.decode(generated, skip_special_tokens=True), len(targets))
            well_formed += answer.parse_status == "ok"
            listed += len(answer.order)
            expected += max(int((targets > threshold).sum()), 1)
            ranks.append(_ranks([order[position - 1] for position in answer.order], len(targets)))
            _count(with_target, ranks[-1], -targets)
        _count(between_shuffles, *ranks)
    answers = 2 * count
    form = f"{well_formed} of {answers} answers well-formed"
    length = f"{listed / answers:.1f} documents listed (targets: {expected / answers:.1f})"
    target, shuffled = (f"{agreeing / max(pairs, 1):.3f}" for agreeing, pairs in (with_target, between_shuffles))
    return f"{form}, {length}; ordered pairs agree {target} with the targets, {shuffled} with another shuffle"


def _ranks(order: Sequence[int], count: int) -> Tensor:
    """Return the rank of each document, [count]. Unlisted documents share the last rank."""
    ranks = torch.full((count,), float(count))
    ranks[list(order)] = torch.arange(len(order), dtype=torch.float32)
    return ranks


def _count(pairs: list[int], ranks: Tensor, others: Tensor) -> None:
    """Count the document pairs without a tie in either ranking, and those that both rankings order in the same way.

    Args:
        pairs: Counts [same order, all], increased in place.
        ranks: One ranking, [count].
        others: The other ranking, [count].
    """
    decided = (ranks[:, None] - ranks) * (others[:, None] - others)
    pairs[0] += int((decided > 0).sum()) // 2
    pairs[1] += int((decided != 0).sum()) // 2
