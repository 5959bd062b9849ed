"""Build, tokenize, wrap for training and unwrap each kind of student: RRA-BERT (encoder) and RRA-GPT (decoder)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn
from transformers import AutoTokenizer

from ranking.errors import InputError, first_line
from ranking.languages import ENGLISH
from students import rra_bert, rra_gpt
from students.batches import tokenize
from students.classifier import PairClassifier
from students.first_token import read_first_token_only
from students.pair_templates import with_prompt_template
from students.rra_gpt import AuxiliaryTargets, RraGptWithAuxiliaryTasks
from students.student_settings import RraBertSettings, RraGptSettings
from students.term_control import TermControlled
from students.token_selection import TokenKeys

AnySettings = RraBertSettings | RraGptSettings


def build(settings: AnySettings, path: str) -> PairClassifier:
    """Build a student from its base, with float32 weights.

    Args:
        settings: Settings of the student.
        path: Folder or Hugging Face ID of the base.

    Raises:
        InputError: If the weights in the base's folder cannot be read or do not match its configuration.
    """
    try:
        return rra_gpt.build(settings, path) if isinstance(settings, RraGptSettings) else rra_bert.build(settings, path)
    except (SafetensorError, RuntimeError, ValueError, KeyError, OSError) as error:
        if not Path(path).is_dir() or (isinstance(error, OSError) and error.errno is not None):
            raise  # Errors of the Hugging Face Hub or the disk can be temporary.
        raise InputError(
            f"base {settings.base!r}: cannot build a student from its weights ({first_line(error)})"
        ) from error


def tokenizer_of(settings: AnySettings, path: str) -> Any:
    """Return the tokenizer that is saved with a student.

    It is the tokenizer of the base. For RRA-GPT it also puts each (query, document) pair into the prompt.
    """
    tokenizer = AutoTokenizer.from_pretrained(path, revision=settings.revision, trust_remote_code=False)
    return with_prompt_template(tokenizer) if isinstance(settings, RraGptSettings) else tokenizer


def wrap_for_training(student: PairClassifier, settings: AnySettings, path: str) -> nn.Module:
    """Add the modules that a student needs only in training. `unwrap` removes them.

    Args:
        student: The student.
        settings: Settings of the student.
        path: Folder or Hugging Face ID of the base.
    """
    if isinstance(settings, RraGptSettings):
        trained = RraGptWithAuxiliaryTasks(student, rra_gpt.output_layer(student, path, settings.revision))
        if settings.lora is not None:
            trained.add_adapters(settings.lora)
        return trained
    if settings.term_control.form != "none":
        return TermControlled(student, settings.term_control)
    read_first_token_only(student)
    return student


def unwrap(trained: nn.Module) -> PairClassifier:
    """Merge LoRA adapters into the weights and return the student without its training-only modules."""
    if isinstance(trained, RraGptWithAuxiliaryTasks):
        trained.merge_adapters()
    student = trained.student if isinstance(trained, (TermControlled, RraGptWithAuxiliaryTasks)) else trained
    assert isinstance(student, PairClassifier)
    return student


class TrainingReader:
    """Tokenizes pairs for training and adds the model inputs that a student needs only in training."""

    def __init__(
        self, settings: AnySettings, tokenizer: Any, frequent: Collection[int] = (), language: str = ENGLISH
    ) -> None:
        """Prepare Token Selection if the student uses it.

        Args:
            settings: Settings of the student.
            tokenizer: The student's tokenizer.
            frequent: Keys of terms that Token Selection ignores, from `students.token_selection.frequent_terms`.
            language: Language of the collection.
        """
        self.settings = settings
        self.tokenizer = tokenizer
        self.keys: TokenKeys | None = None
        if isinstance(settings, RraBertSettings) and settings.term_control.form != "none":
            self.keys = TokenKeys(tokenizer, settings.term_control.match, frequent=frequent, language=language)

    def rows(self, pairs: Sequence[tuple[str, str]], targets: Sequence[AuxiliaryTargets]) -> list[dict[str, list[int]]]:
        """Tokenize pairs.

        Args:
            pairs: (query, document) pairs.
            targets: Label word and rationale to learn for each pair; ignored by students without auxiliary tasks.

        Returns:
            The model inputs of each pair.
        """
        rows = tokenize(self.tokenizer, pairs, self.settings.max_length, self.keys)
        if isinstance(self.settings, RraGptSettings) and (self.settings.label_weight or self.settings.rationale_weight):
            if not self.settings.rationale_weight:
                targets = [replace(target, rationale=None) for target in targets]
            rra_gpt.append_auxiliary_targets(self.tokenizer, rows, targets, self.settings.max_rationale_tokens)
        return rows
