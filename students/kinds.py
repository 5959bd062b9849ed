"""The kinds of students: how each is made, read to, trained and taken out of training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn
from transformers import AutoTokenizer

from ranking.errors import InputError, first_line
from students import rra_bert, rra_gpt
from students.batches import tokenize
from students.classifier import PairClassifier
from students.first_token import read_first_token_only
from students.pair_templates import with_prompt_template
from students.rra_gpt import AuxiliaryTargets, RraGptWithAuxiliaryTasks
from students.settings import RraBertSettings, RraGptSettings
from students.term_control import TermControlled
from students.token_selection import TokenKeys

AnySettings = RraBertSettings | RraGptSettings


def build(settings: AnySettings, path: str) -> PairClassifier:
    """Make a student from its base. path: folder or Hugging Face id. Weights in float32.

    Raises InputError where the weights in the base's folder cannot be read, or are of other sizes than its configuration says.
    """
    try:
        return rra_gpt.build(settings, path) if isinstance(settings, RraGptSettings) else rra_bert.build(settings, path)
    except (SafetensorError, RuntimeError, ValueError, KeyError, OSError) as error:
        if not Path(path).is_dir() or (isinstance(error, OSError) and error.errno is not None):
            raise  # of a hub or a disk, which another try may mend
        raise InputError(
            f"base {settings.base!r}: no student can be made of its weights ({first_line(error)})"
        ) from error


def tokenizer_of(settings: AnySettings, path: str) -> Any:
    """The tokenizer that is saved with a student: what it makes of a pair of texts is what the student reads."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    return with_prompt_template(tokenizer) if isinstance(settings, RraGptSettings) else tokenizer


def in_training(student: PairClassifier, settings: AnySettings, path: str) -> nn.Module:
    """The student with what it has in training only; `settled` takes it off again."""
    if isinstance(settings, RraGptSettings):
        trained = RraGptWithAuxiliaryTasks(student, rra_gpt.output_layer(student, path))
        if settings.lora is not None:
            trained.adapt(settings.lora)
        return trained
    if settings.term_control.form != "none":
        return TermControlled(student, settings.term_control)
    read_first_token_only(student)
    return student


def settled(trained: nn.Module) -> PairClassifier:
    """The student that is kept, without what it had in training only."""
    if isinstance(trained, RraGptWithAuxiliaryTasks):
        trained.merge()
    kept = trained.student if isinstance(trained, (TermControlled, RraGptWithAuxiliaryTasks)) else trained
    assert isinstance(kept, PairClassifier)
    return kept


class TrainingReader:
    """Tokenizes pairs as a student reads them in training.

    frequent: keys of terms that Token Selection ignores, from `students.token_selection.frequent_terms`.
    """

    def __init__(self, settings: AnySettings, tokenizer: Any, frequent: Collection[int] = ()) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        selects = isinstance(settings, RraBertSettings) and settings.term_control.form != "none"
        self.keys = TokenKeys(tokenizer, settings.term_control.match, frequent=frequent) if selects else None  # type: ignore[union-attr]

    def rows(self, pairs: Sequence[tuple[str, str]], told: Sequence[AuxiliaryTargets]) -> list[dict[str, list[int]]]:
        """Tokenise pairs. told: what a student with side tasks learns of each."""
        rows = tokenize(self.tokenizer, pairs, self.settings.max_length, self.keys)
        if isinstance(self.settings, RraGptSettings) and (self.settings.label_weight or self.settings.rationale_weight):
            if not self.settings.rationale_weight:
                told = [replace(one, rationale=None) for one in told]
            rra_gpt.rows_with_sides(self.tokenizer, rows, told, self.settings.max_rationale_tokens)
        return rows
