"""Check that vLLM can load a model, before any engine starts."""

from __future__ import annotations

from pathlib import Path

from ranking.errors import InputError
from ranking.model_paths import model_path

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def check_model(model: str, revision: str | None, setting: str, chat: bool = False) -> None:
    """Check a model's configuration, tokenizer and weights.

    The weights of a model on the Hugging Face Hub are not checked; the engine downloads them.

    Args:
        model: Folder or Hugging Face id.
        revision: Revision of the model on the Hub.
        setting: Name of the setting that contains the model, for error messages.
        chat: Whether the model needs a chat template.

    Raises:
        InputError: The configuration, tokenizer, weights or a required chat template is missing or unreadable.
    """
    from students.bases import read_model  # imports torch, which not every process needs

    path = model_path(model)
    where = f"{setting} {model!r}"
    _, tokenizer = read_model(path, revision, where)
    if Path(path).is_dir() and not any(next(Path(path).glob(pattern), None) for pattern in _WEIGHTS):
        raise InputError(f"{where}: the folder has no weights, expected one of {', '.join(_WEIGHTS)}")
    if chat and not tokenizer.chat_template:
        raise InputError(f"{where}: the tokenizer has no chat template; use an instruction-tuned model")
