"""Check a student's base model before training: its files, its tokenizer, and whether it suits the settings.

The base is the pretrained model that the student is built from.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForSequenceClassification

from ranking.errors import InputError, first_line
from students.input_limits import max_positions
from students.kinds import AnySettings
from students.layer_dropping import check_layers
from students.model_check import checked_model
from students.rra_gpt import LABEL_WORDS
from students.student_settings import RraBertSettings, RraGptSettings


def check_base(path: str, settings: AnySettings) -> None:
    """Check that a student can be built from a base model.

    Args:
        path: Folder or Hugging Face ID of the base.
        settings: Settings of the student.

    Raises:
        InputError: If the base has no configuration, weights, fast tokenizer or pad token, or if it does not suit the
            settings: wrong architecture for this kind of student, too few positions, embeddings or layers, or no such
            `term_control.layer`.
    """
    where = f"student {settings.name}: base {settings.base!r}"
    config, tokenizer = checked_model(path, settings.revision, where, "base")
    if not tokenizer.is_fast:
        raise InputError(f"{where}: the tokenizer is not a fast tokenizer; add its tokenizer.json")
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"{where}: the tokenizer has no pad token; set one and save it, "
            "for example tokenizer.pad_token = tokenizer.eos_token"
        )
    _check_form(config, tokenizer, settings, where)
    if isinstance(settings, RraBertSettings):
        _check_term_control_layer(config, settings, where)
    limit = max_positions(config)
    if limit is not None and settings.max_length > limit:
        raise InputError(f"{where}: max_length {settings.max_length} exceeds the model's {limit} positions")
    if isinstance(settings, RraGptSettings):
        _check_auxiliary_tasks(tokenizer, settings, limit, where)


def has_ranking_head(path: str, settings: AnySettings) -> bool:
    """Return whether a base can rank before training, because it already is a sequence classifier with one label.

    Always False for RRA-GPT, whose ranking layer is newly initialized.

    Args:
        path: Folder or Hugging Face ID of the base.
        settings: Settings of the student.
    """
    if isinstance(settings, RraGptSettings):
        return False
    config = AutoConfig.from_pretrained(path, revision=settings.revision, trust_remote_code=False)
    classifies = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    return classifies and config.num_labels == 1


def _check_term_control_layer(config: Any, settings: RraBertSettings, where: str) -> None:
    """Check that the Term Control Layer reads a layer that the student has. Dropped layers do not count."""
    layers: int | None = settings.layers or getattr(config, "num_hidden_layers", None)
    layer = settings.term_control.layer
    if settings.term_control.form != "none" and layers is not None and not -layers - 1 <= layer <= layers:
        raise InputError(
            f"{where}: term_control.layer {layer} does not exist; "
            f"choose 0 (the embeddings) to {layers}, or -1 for the last layer"
        )


def _check_form(config: Any, tokenizer: Any, settings: AnySettings, where: str) -> None:
    """Check that the base is an encoder (RRA-BERT) or a decoder (RRA-GPT) that accepts the tokenizer's inputs."""
    if isinstance(settings, RraGptSettings):
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    try:
        with torch.device("meta"):
            classifier = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise InputError(
            f"{where}: transformers has no sequence classifier for its configuration ({first_line(error)})"
        ) from None
    # In transformers, the classification head of a decoder is a linear layer named `score`. It reads the last token.
    is_decoder = (
        isinstance(getattr(classifier, "score", None), torch.nn.Linear) and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    )
    if isinstance(settings, RraGptSettings) and not is_decoder:
        raise InputError(
            f"{where}: {config.model_type} is not a decoder with a `score` layer; choose a decoder, or kind: rra_bert"
        )
    if isinstance(settings, RraBertSettings) and is_decoder:
        raise InputError(f"{where}: {config.model_type} is a decoder; choose an encoder, or kind: rra_gpt")
    if isinstance(settings, RraBertSettings) and settings.layers is not None:
        check_layers(classifier, settings.layers, where)
    inputs = tokenizer("query", "document")
    embeddings = classifier.base_model.get_input_embeddings().weight.shape[0]
    if max(*inputs["input_ids"], tokenizer.pad_token_id) >= embeddings:
        raise InputError(
            f"{where}: its tokenizer has token IDs beyond its {embeddings:,} embeddings; "
            "add some with resize_token_embeddings"
        )
    segments = getattr(config, "type_vocab_size", 0)
    if segments and max(inputs.get("token_type_ids", [0])) >= segments:
        raise InputError(
            f"{where}: its tokenizer marks query and document with token_type_ids, but it has embeddings for only "
            f"{segments}; remove token_type_ids from the tokenizer's model_input_names"
        )


def _check_auxiliary_tasks(tokenizer: Any, settings: RraGptSettings, limit: int | None, where: str) -> None:
    """Check that the base can learn RRA-GPT's auxiliary tasks, which predict a label word and a rationale.

    Both must fit into the model's positions after the prompt. If rationales are trained, the tokenizer needs an
    end-of-sequence token to end them.
    """
    if settings.rationale_weight and tokenizer.eos_token_id is None:
        raise InputError(
            f"{where}: its tokenizer has no end-of-text token to end a rationale; set one, or rationale_weight: 0"
        )
    label_tokens = max(len(tokenizer.encode(word, add_special_tokens=False)) for word in LABEL_WORDS.values())
    extra = label_tokens + (settings.max_rationale_tokens if settings.rationale_weight else 0)
    if limit is not None and settings.max_length + extra > limit:
        raise InputError(
            f"{where}: max_length {settings.max_length} plus {extra} tokens for label word and rationale exceeds the "
            f"model's {limit} positions; lower max_length or max_rationale_tokens"
        )
