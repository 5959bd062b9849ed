"""Check, before anything loads a model, that its files are complete and that it fits the role it is used in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoTokenizer

from ranking.errors import InputError, first_line
from ranking.model_paths import model_path
from ranking.models.hub_files import hub_files
from ranking.models.model_files import (
    CONFIG_FILE,
    FolderFiles,
    ModelFiles,
    check_files,
    custom_classes,
    library_type,
    module_types,
)
from ranking.models.model_roles import ModelOutline, Role, check_role
from ranking.models.weight_files import TRANSFORMERS_WEIGHTS, VLLM_WEIGHTS

SAVE = "save the model with save_pretrained"


def check_vllm_model(
    model: str,
    revision: str | None,
    setting: str,
    role: Role,
    chat: bool = False,
    words: Sequence[str] = (),
    advice: str = "",
) -> None:
    """Check a model that vLLM runs.

    Args:
        model: Name of the model: a folder, a Hugging Face ID, or a name that `model_path` resolves.
        revision: Revision of the model on the Hugging Face Hub.
        setting: Name of the setting that contains the model, for error messages.
        role: How the run uses the model.
        chat: Whether the model needs a chat template.
        words: Words that must be tokens of the model.
        advice: What to do with a language model in the role `score`.

    Raises:
        InputError: The model is incomplete, needs its own code, or does not fit the role.
    """
    where = f"{setting} {model!r}"
    _, tokenizer = checked_model(model_path(model), revision, where, role, VLLM_WEIGHTS, advice)
    if chat and not tokenizer.chat_template:
        raise InputError(f"{where}: the tokenizer has no chat template; use an instruction-tuned model")
    unknown = [word for word in words if tokenizer.convert_tokens_to_ids(word) in (None, tokenizer.unk_token_id)]
    if unknown:
        raise InputError(f"{where}: the tokenizer has no token {unknown[0]!r}; choose another model")


def check_sentence_encoder(model: str, revision: str | None, setting: str) -> None:
    """Check a model that sentence-transformers runs.

    Args:
        model: Name of the model, as in `check_vllm_model`.
        revision: Revision of the model on the Hugging Face Hub.
        setting: Name of the setting that contains the model, for error messages.

    Raises:
        InputError: The model is incomplete, needs its own code, or is not a sentence encoder.
    """
    path, where = model_path(model), f"{setting} {model!r}"
    folder = FolderFiles(Path(path))
    if module_types(folder) and not (Path(path) / CONFIG_FILE).is_file():
        _check_readable(folder, where)  # the library reads the other files from folders of its modules
    else:
        checked_model(path, revision, where, "embed")


def checked_model(
    path: str,
    revision: str | None,
    where: str,
    role: Role,
    weights: tuple[str, ...] = TRANSFORMERS_WEIGHTS,
    advice: str = "",
) -> tuple[Any, Any]:
    """Check a model, and return its configuration and tokenizer.

    Of a model on the Hugging Face Hub, the weights are checked only as far as `hub_files` finds them.

    Args:
        path: Folder or Hugging Face ID.
        revision: Revision of the model on the Hugging Face Hub.
        where: Start of error messages; names the model.
        role: How the run uses the model.
        weights: Names of the weight files that its loader accepts.
        advice: What to do with a language model in the role `score`.

    Raises:
        InputError: The model is incomplete, needs its own code, or does not fit the role.
    """
    files = FolderFiles(Path(path)) if Path(path).is_dir() else hub_files(path, revision)
    if files is not None:
        _check_readable(files, where)
    config, tokenizer = read_model(path, revision, where)
    shapes = files.shapes(weights, where) if files is not None else None
    outline = ModelOutline(
        architectures=tuple(config.architectures or ()),
        labels=tuple(map(str, config.id2label.values())),
        tied=_ties_embeddings(config),
        shapes=shapes,
        library_type=library_type(files) if files is not None else None,
    )
    check_role(outline, role, where, advice)
    return config, tokenizer


def read_model(path: str, revision: str | None, where: str) -> tuple[Any, Any]:
    """Read a model's configuration and tokenizer.

    Args:
        path: Folder or Hugging Face ID.
        revision: Revision of the Hugging Face repository; None for the default.
        where: Start of error messages; names the model.

    Raises:
        InputError: If the configuration or the tokenizer cannot be read.
    """
    if Path(path).is_dir() and not (Path(path) / CONFIG_FILE).is_file():
        raise InputError(f"{where}: the folder has no config.json; {SAVE}")
    try:
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{where}: its configuration cannot be read ({first_line(error)})") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
    except Exception as error:
        raise InputError(f"{where}: its tokenizer cannot be read ({first_line(error)})") from None
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)) or not tokenizer.encode("query", add_special_tokens=False):
        raise InputError(
            f"{where}: its tokenizer has no vocabulary; add tokenizer.json, or the files that it is built from"
        )
    return config, tokenizer


def _check_readable(files: ModelFiles, where: str) -> None:
    """Raise InputError if a model is an adapter, has Git LFS pointers, or needs code that transformers does not have.

    A model may name its own code in `auto_map` although its classes are part of transformers, as Phi-3 does. Its code
    is not needed then. A class with another name can differ from that of the same model type in transformers, so the
    model must not be loaded without its code.
    """
    check_files(files, where)
    needed = [name for name in custom_classes(files) if not hasattr(transformers, name)]
    if needed:
        raise InputError(
            f"{where}: needs its own code ({needed[0]}), which is never run; choose a model that transformers supports "
            "without trust_remote_code"
        )


def _ties_embeddings(config: Any) -> bool:
    """Return whether the language-model head shares the embeddings' weights; True if the configuration has no value."""
    values = [getattr(part, "tie_word_embeddings", None) for part in (config, config.get_text_config())]
    return any(values) or all(value is None for value in values)
