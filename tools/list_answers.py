"""What a decoder that lists answers without any help, for lists that it did not learn from: form, length, order, two shuffles."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import OPTForCausalLM, PreTrainedTokenizerFast

from ranking.labels.listwise_answers import read_answer
from tools.list_decoder.places import MOST
from tools.list_material import Material

_LONGEST = 2 * MOST
"""Tokens of an answer: of more than an answer in form has."""


@torch.inference_mode()
def answers_told(
    decoder: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, material: Material, threshold: float, count: int
) -> str:
    """Ask for the first lists, each in two orders, by greedy decoding; says what the answers are like, in a line.

    threshold: of targets, below which documents should be left out. count: of lists.
    """
    in_form, listed, wanted = 0, 0, 0
    with_target, between = [0, 0], [0, 0]
    for number in range(count):
        targets = material.targets(number)
        ranks = []
        for order in (
            random.Random(f"{shuffle} {number}").sample(range(len(targets)), len(targets)) for shuffle in range(2)
        ):
            prompt = material.prompt(number, order).to(decoder.device)
            written = decoder.generate(prompt[None], max_new_tokens=_LONGEST, do_sample=False)[0, len(prompt) :]
            read = read_answer(tokenizer.decode(written, skip_special_tokens=True), len(targets))
            in_form += read.parse_status == "ok"
            listed += len(read.order)
            wanted += max(int((targets > threshold).sum()), 1)
            ranks.append(_ranks([order[place - 1] for place in read.order], len(targets)))
            _count(with_target, ranks[-1], -targets)
        _count(between, *ranks)
    form = f"{in_form} of {2 * count} answers in form, {listed / (2 * count):.1f} documents listed (targets {wanted / (2 * count):.1f})"
    target, shuffled = (f"{alike / max(pairs, 1):.3f}" for alike, pairs in (with_target, between))
    return f"{form}; pairs that are decided: {target} as the targets, {shuffled} as another shuffle of the prompt"


def _ranks(order: Sequence[int], count: int) -> Tensor:
    """[count]; what is not in an order stands last, all alike."""
    ranks = torch.full((count,), float(count))
    ranks[list(order)] = torch.arange(len(order), dtype=torch.float32)
    return ranks


def _count(pairs: list[int], ranks: Tensor, others: Tensor) -> None:
    """Add to [alike, all] the pairs that both decide. ranks, others: [count]"""
    decided = (ranks[:, None] - ranks) * (others[:, None] - others)
    pairs[0] += int((decided > 0).sum()) // 2
    pairs[1] += int((decided != 0).sum()) // 2
