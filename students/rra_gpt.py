"""RRA-GPT: the decoder student of RRADistill (Choi et al., EMNLP 2024 Industry).

Known from the paper: a light ranking layer on a decoder is trained jointly with two auxiliary tasks, relevance
classification and generating the reasoning. At inference only the score is used, and nothing is generated. The rest is
this project's reconstruction:

    prompt(query, document) label-word rationale
    score = Linear(state of the last prompt token)
    L = rank(score) + a * cross-entropy(label word) + b * cross-entropy(rationale's tokens)

The label word is yes or no. The rationale is a text that explains the label. a and b are the settings `label_weight`
and `rationale_weight`. Label word and rationale follow the prompt in the same sequence, so the prompt's states are
computed once. The score does not depend on them, because a decoder's tokens attend only to earlier tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from students.batches import TASKS, inputs_of
from students.classifier import PairClassifier
from students.student_settings import LoraSettings, RraGptSettings

LABEL_WORDS = {True: " yes", False: " no"}

LABEL, RATIONALE = 1, 2
"""Values of the model input `tasks`, which marks each token's auxiliary task. Prompt tokens have 0."""


@dataclass(frozen=True)
class AuxiliaryTargets:
    """Targets of the auxiliary tasks for one pair.

    Attributes:
        relevant: Whether the document is relevant. Determines the label word.
        rationale: Text that explains the label; None for no rationale.
    """

    relevant: bool
    rationale: str | None = None


def continuation(tokenizer: Any, target: AuxiliaryTargets, max_rationale_tokens: int) -> tuple[list[int], list[int]]:
    """Tokenize the text after the prompt: label word and rationale.

    Args:
        tokenizer: The student's tokenizer. Its end-of-sequence token ends a rationale.
        target: Auxiliary targets of the pair.
        max_rationale_tokens: Maximum tokens of the rationale. A truncated rationale has no end-of-sequence token.

    Returns:
        The token IDs, and for each token its task, LABEL or RATIONALE.
    """
    word = tokenizer.encode(LABEL_WORDS[target.relevant], add_special_tokens=False)
    if target.rationale is None:
        return word, [LABEL] * len(word)
    rationale = [*tokenizer.encode(f"\n{target.rationale}", add_special_tokens=False), tokenizer.eos_token_id]
    rationale = rationale[:max_rationale_tokens]
    return word + rationale, [LABEL] * len(word) + [RATIONALE] * len(rationale)


def build(settings: RraGptSettings, path: str) -> PairClassifier:
    """Build the student from its base: a sequence classifier with one label and float32 weights.

    The ranking layer is initialized to zero, so all scores are equal before the first step. The configuration gets the
    tokenizer's pad token, because the classifier looks for the last token that is not padding, and many decoders'
    configurations have no pad token or a different one.

    Args:
        settings: Settings of the student.
        path: Folder or Hugging Face ID of the decoder.
    """
    revision = settings.revision
    config = AutoConfig.from_pretrained(path, num_labels=1, revision=revision, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(
        path, config=config, revision=revision, trust_remote_code=False, dtype=torch.float32
    )
    nn.init.zeros_(classifier.score.weight)
    return PairClassifier(classifier)


class RraGptWithAuxiliaryTasks(nn.Module):
    """RRA-GPT in training: the student and an output layer for its auxiliary tasks. Only the student is saved."""

    def __init__(self, student: PairClassifier, output: nn.Module) -> None:
        """Wrap a student and an output layer over the vocabulary, as `output_layer` returns it."""
        super().__init__()
        self.student = student
        self.output = output
        self._adapters: list[Any] = []  # in a list, because PyTorch would register a module's weights twice

    def add_adapters(self, lora: LoraSettings) -> None:
        """Add LoRA adapters to every linear layer of the decoder. Trains only them and the ranking layer."""
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

    def merge_adapters(self) -> None:
        """Merge the adapters into the decoder's weights and remove them."""
        for adapters in self._adapters:
            adapters.merge_and_unload()
        self._adapters = []

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs and compute the losses of the auxiliary tasks.

        Args:
            batch: A batch from `students.batches.pad`, with the input `tasks` if auxiliary tasks are trained.

        Returns:
            [pairs, 3], float32. The columns are: score; mean cross-entropy of the label word's tokens; mean
            cross-entropy of the rationale's tokens. A mean is NaN if the pair has no such tokens.
        """
        classifier: Any = self.student.classifier
        states = classifier.base_model(**inputs_of(batch)).last_hidden_state
        tasks = batch.get(TASKS, torch.zeros_like(batch["input_ids"]))
        ends = ((tasks == 0) & batch["attention_mask"].bool()).sum(dim=1) - 1
        scores = classifier.score(states[torch.arange(len(ends), device=ends.device), ends])[:, 0].float()
        # The state at a position predicts the token at the next one.
        is_target = tasks[:, 1:] > 0
        logits = self.output(states[:, :-1][is_target]).float()
        losses = torch.zeros(is_target.shape, device=states.device)
        losses[is_target] = functional.cross_entropy(logits, batch["input_ids"][:, 1:][is_target], reduction="none")
        means = [_masked_mean(losses, tasks[:, 1:] == task) for task in (LABEL, RATIONALE)]
        return torch.stack([scores, *means], dim=1)


def output_layer(student: PairClassifier, path: str, revision: str | None = None) -> nn.Module:
    """Return the base's output layer over its vocabulary.

    It shares the weights of the student's embeddings if the base ties the two.
    """
    causal: Any = AutoModelForCausalLM.from_pretrained(
        path, revision=revision, trust_remote_code=False, dtype=torch.float32
    )
    layer: nn.Module = causal.get_output_embeddings()
    if causal.config.tie_word_embeddings:
        layer.weight = student.base.get_input_embeddings().weight
    return layer


def auxiliary_loss(columns: Tensor, label_weight: float, rationale_weight: float) -> Tensor:
    """Return label_weight * mean label-word loss + rationale_weight * mean rationale loss, a scalar.

    Each mean is over the pairs that have this loss.

    Args:
        columns: Losses of each pair, [pairs, 2]: label word, rationale. NaN if the pair has none.
        label_weight: Weight of the label-word loss, a in the module docstring.
        rationale_weight: Weight of the rationale loss, b in the module docstring.
    """
    total = columns.new_zeros(())
    for column, weight in zip(columns.unbind(dim=1), (label_weight, rationale_weight), strict=True):
        present = ~column.isnan()
        if weight and present.any():
            total = total + weight * torch.where(present, column, 0.0).sum() / present.sum()
    return total


def append_auxiliary_targets(
    tokenizer: Any,
    rows: Sequence[dict[str, list[int]]],
    targets: Sequence[AuxiliaryTargets],
    max_rationale_tokens: int,
) -> None:
    """Append label words and rationales to tokenized prompts, in place.

    Also adds a model input `tasks` that marks each token's auxiliary task.
    """
    for row, target in zip(rows, targets, strict=True):
        tokens, tasks = continuation(tokenizer, target, max_rationale_tokens)
        prompt = len(row["input_ids"])
        row["input_ids"] = row["input_ids"] + tokens
        row["attention_mask"] = row["attention_mask"] + [1] * len(tokens)
        row["segments"] = row["segments"] + [0] * len(tokens)
        row[TASKS] = [0] * prompt + tasks


def _masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Average each row's losses over the True cells of its mask, [pairs, tokens] to [pairs]. NaN if there are none."""
    count = mask.sum(dim=1)
    return torch.where(count > 0, torch.where(mask, losses, 0.0).sum(dim=1) / count.clamp(min=1), torch.nan)
