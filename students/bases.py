"""Whether a model can be read, and a student be made of it, found out before anything starts."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from ranking.errors import InputError, first_line
from students.kinds import AnySettings
from students.rra_gpt import LABEL_WORDS
from students.settings import RraBertSettings, RraGptSettings

_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin", "*.index.json")
_BEHIND_PADDING = frozenset(
    "camembert data2vec-text ibert longformer luke mpnet roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod".split()
)
"""Model types whose first positions stand for padding."""


def check_base(path: str, settings: AnySettings) -> None:
    """Raise InputError where the base lacks its configuration, tokenizer or pad token, or has too few positions.

    path: folder or Hugging Face id of the base.
    """
    where = f"student {settings.name}: base {settings.base!r}"
    config, tokenizer = read_model(path, None, where)
    if Path(path).is_dir() and not any(
        fnmatch(held.name, pattern) for held in Path(path).iterdir() for pattern in _WEIGHTS
    ):
        raise InputError(
            f"{where}: the folder holds no weights; a model saved with save_pretrained has model.safetensors"
        )
    if not tokenizer.is_fast:
        raise InputError(f"{where}: a fast tokenizer is needed, one with a tokenizer.json")
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"{where}: its tokenizer has no pad token; set one and save it, for example tokenizer.pad_token = tokenizer.eos_token"
        )
    layers: int | None = getattr(config, "num_hidden_layers", None)
    if isinstance(settings, RraBertSettings) and settings.term_control.form != "none" and layers is not None:
        layer = settings.term_control.layer
        if not -layers - 1 <= layer <= layers:
            raise InputError(
                f"{where}: term_control.layer {layer} is none of its layers, 0 (the embeddings) to {layers}, or -1 for the last"
            )
    _check_form(config, tokenizer, settings, where)
    most = positions(config)
    if most is not None and settings.max_length > most:
        raise InputError(f"{where}: max_length {settings.max_length} is more than the {most} positions that it has")
    if isinstance(settings, RraGptSettings):
        _check_sides(tokenizer, settings, most, where)


def has_ranking_head(path: str, settings: AnySettings) -> bool:
    """Whether a base ranks before any training: it is a sequence classifier with one label. RRA-GPT's ranking layer is always new.

    path: folder or Hugging Face id of the base.
    """
    if isinstance(settings, RraGptSettings):
        return False
    config = AutoConfig.from_pretrained(path)
    classifies = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    return classifies and config.num_labels == 1


def _check_form(config: Any, tokenizer: Any, settings: AnySettings, where: str) -> None:
    """A classifier of this configuration can be made, is of the kind's form, and knows the tokenizer's inputs."""
    if isinstance(settings, RraGptSettings):
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    try:
        with torch.device("meta"):
            made = AutoModelForSequenceClassification.from_config(config)
    except Exception as error:
        raise InputError(
            f"{where}: no sequence classifier can be made of its configuration ({first_line(error)})"
        ) from None
    # as transformers calls the head of its decoders, on the last token
    reads_last = (
        isinstance(getattr(made, "score", None), torch.nn.Linear) and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    )
    if isinstance(settings, RraGptSettings) and not reads_last:
        raise InputError(
            f"{where}: {config.model_type} has no layer `score` on its last token; a decoder is needed, or kind: rra_bert"
        )
    if isinstance(settings, RraBertSettings) and reads_last:
        raise InputError(f"{where}: {config.model_type} is a decoder; the student's kind must be rra_gpt")
    inputs = tokenizer("query", "document")
    words = made.base_model.get_input_embeddings().weight.shape[0]
    if max(*inputs["input_ids"], tokenizer.pad_token_id) >= words:
        raise InputError(
            f"{where}: its tokenizer has tokens beyond the {words:,} of its embeddings; resize_token_embeddings makes room"
        )
    segments = getattr(config, "type_vocab_size", 0)
    if segments and max(inputs.get("token_type_ids", [0])) >= segments:
        raise InputError(
            f"{where}: its tokenizer tells query and document apart by token_type_ids, and it has embeddings for {segments} of them; "
            "a tokenizer without token_type_ids in model_input_names is needed"
        )


def _check_sides(tokenizer: Any, settings: RraGptSettings, most: int | None, where: str) -> None:
    """What stands behind the prompt in training needs room, and an end."""
    if settings.rationale_weight and tokenizer.eos_token_id is None:
        raise InputError(
            f"{where}: its tokenizer has no end-of-text token, with which a rationale ends; set one, or rationale_weight: 0"
        )
    words = max(len(tokenizer.encode(word, add_special_tokens=False)) for word in LABEL_WORDS.values())
    behind = words + (settings.max_rationale_tokens if settings.rationale_weight else 0)
    if most is not None and settings.max_length + behind > most:
        raise InputError(
            f"{where}: max_length {settings.max_length} and the {behind} tokens that are learned behind the prompt, label word and rationale, "
            f"are more than the {most} positions that it has; lower max_length or max_rationale_tokens"
        )


def read_model(path: str, revision: str | None, where: str) -> tuple[Any, Any]:
    """Read a model's configuration and tokenizer. where: names it in messages. Raises InputError where one cannot be read."""
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise InputError(f"{where}: the folder holds no config.json; a model saved with save_pretrained is needed")
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{where}: its configuration cannot be read ({first_line(error)})") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    except Exception as error:
        raise InputError(f"{where}: its tokenizer cannot be read ({first_line(error)})") from None
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)) or not tokenizer.encode("query", add_special_tokens=False):
        raise InputError(
            f"{where}: its tokenizer has no vocabulary; the folder lacks tokenizer.json, or the files it is made from"
        )
    return config, tokenizer


def positions(config: Any) -> int | None:
    """How many tokens a model can read at most; None where nothing bounds it."""
    held: int | None = getattr(config, "max_position_embeddings", None)
    if held is not None and config.model_type in _BEHIND_PADDING:
        held -= config.pad_token_id + 1
    return held
