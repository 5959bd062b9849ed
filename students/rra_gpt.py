"""RRA-GPT: the decoder student of RRADistill (Choi et al., EMNLP 2024 Industry).

Known from the paper: a light ranking layer on a decoder, trained jointly with relevance classification and with
generating the reasoning. Reported: at inference only the score is used, nothing is generated. The rest is this
project's reconstruction:

    prompt(query, document) label-word rationale
    score = Linear(state of the last prompt token)
    L = rank(score) + a * cross-entropy(label word) + b * cross-entropy(rationale's tokens)

Label and rationale stand behind the prompt in one sequence: the prompt's states are computed once, and, since a decoder
reads from left to right, the score sees neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from students.batches import SIDES, inputs_of
from students.classifier import PairClassifier
from students.settings import LoraSettings, RraGptSettings

LABEL_WORDS = {True: " yes", False: " no"}
LABEL, RATIONALE = 1, 2


@dataclass(frozen=True)
class AuxiliaryTargets:
    """What is told of a pair in training. rationale: None where there is none to learn."""

    relevant: bool
    rationale: str | None = None


def continuation(tokenizer: Any, told: AuxiliaryTargets, most: int) -> tuple[list[int], list[int]]:
    """The tokens behind the prompt, and which side task each belongs to: LABEL or RATIONALE.

    most: tokens of the rationale at most; what is cut off there is not followed by an end. tokenizer: of the base, whose
    end-of-text token ends a rationale.
    """
    word = tokenizer.encode(LABEL_WORDS[told.relevant], add_special_tokens=False)
    if told.rationale is None:
        return word, [LABEL] * len(word)
    rationale = [*tokenizer.encode(f"\n{told.rationale}", add_special_tokens=False), tokenizer.eos_token_id][:most]
    return word + rationale, [LABEL] * len(word) + [RATIONALE] * len(rationale)


def build(settings: RraGptSettings, path: str) -> PairClassifier:
    """Make the student from its base: a sequence classifier with one label. Weights in float32.

    The ranking layer starts from zero, so that all scores are equal before the first step. Its tokenizer's pad token becomes the
    classifier's, which looks for the last token that is none; many decoders' own configuration names none, or another.
    """
    config = AutoConfig.from_pretrained(path, num_labels=1)
    config.get_text_config().pad_token_id = AutoTokenizer.from_pretrained(path).pad_token_id
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(path, config=config, dtype=torch.float32)
    nn.init.zeros_(classifier.score.weight)
    return PairClassifier(classifier)


class RraGptWithAuxiliaryTasks(nn.Module):
    """RRA-GPT in training, with the output layer for its side tasks. The student is the part that is kept."""

    def __init__(self, student: PairClassifier, output: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.output = output
        self._adapters: list[Any] = []  # a list, so that their weights are not found twice

    def adapt(self, lora: LoraSettings) -> None:
        """Put adapters on every linear layer of the decoder; only they and the ranking layer learn from then on."""
        from peft import LoraConfig, LoraModel, TaskType

        config = LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=lora.rank,
            lora_alpha=lora.alpha,  # type: ignore[arg-type]
            lora_dropout=lora.dropout,
            target_modules="all-linear",
        )
        self.output.requires_grad_(False)
        self._adapters = [LoraModel(self.student.base, {"default": config}, "default")]

    def merge(self) -> None:
        """Put what the adapters learned into the decoder's weights, and take them off."""
        for adapters in self._adapters:
            adapters.merge_and_unload()
        self._adapters = []

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs and tell what the side tasks cost. batch: as `students.batches.pad` makes it, with sides.

        Returns [pairs, 3], float32: score; mean cross-entropy of the label word's tokens; of the rationale's, not a
        number where a pair has no rationale.
        """
        classifier: Any = self.student.classifier
        states = classifier.base_model(**inputs_of(batch)).last_hidden_state
        sides = batch.get(SIDES, torch.zeros_like(batch["input_ids"]))  # none where neither is learned
        ends = ((sides == 0) & batch["attention_mask"].bool()).sum(dim=1) - 1
        scores = classifier.score(states[torch.arange(len(ends), device=ends.device), ends])[:, 0].float()
        # the state before a token is the one that foretells it
        places = sides[:, 1:] > 0
        foretold = self.output(states[:, :-1][places]).float()
        costs = torch.zeros(places.shape, device=states.device)
        costs[places] = functional.cross_entropy(foretold, batch["input_ids"][:, 1:][places], reduction="none")
        return torch.stack([scores, *(_mean_cost(costs, sides[:, 1:] == side) for side in (LABEL, RATIONALE))], dim=1)


def output_layer(student: PairClassifier, path: str) -> nn.Module:
    """The base's output layer over its vocabulary, tied to the student's embeddings where the base ties them."""
    causal: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    layer: nn.Module = causal.get_output_embeddings()
    if causal.config.tie_word_embeddings:
        layer.weight = student.base.get_input_embeddings().weight
    return layer


def side_costs(columns: Tensor, label_weight: float, rationale_weight: float) -> Tensor:
    """a * mean label cost + b * mean rationale cost, over the pairs that have each. columns: [pairs, 2]. Returns a scalar."""
    total = columns.new_zeros(())
    for column, weight in zip(columns.unbind(dim=1), (label_weight, rationale_weight), strict=True):
        there = ~column.isnan()
        if weight and there.any():
            total = total + weight * torch.where(there, column, 0.0).sum() / there.sum()
    return total


def rows_with_sides(
    tokenizer: Any, rows: Sequence[dict[str, list[int]]], told: Sequence[AuxiliaryTargets], most: int
) -> None:
    """Append to tokenised prompts what is told of them, in place, with `sides`: 0 for the prompt's tokens."""
    for row, one in zip(rows, told, strict=True):
        tokens, sides = continuation(tokenizer, one, most)
        prompt = len(row["input_ids"])
        row["input_ids"] = row["input_ids"] + tokens
        row["attention_mask"] = row["attention_mask"] + [1] * len(tokens)
        row["segments"] = row["segments"] + [0] * len(tokens)
        row[SIDES] = [0] * prompt + sides


def _mean_cost(costs: Tensor, mask: Tensor) -> Tensor:
    """Mean of costs [pairs, tokens] where the mask is True; not a number where it is nowhere."""
    count = mask.sum(dim=1)
    return torch.where(count > 0, torch.where(mask, costs, 0.0).sum(dim=1) / count.clamp(min=1), torch.nan)
