"""Whether a teacher's model can be loaded at all, found out before anything starts."""

from __future__ import annotations

from pathlib import Path

from ranking.errors import InputError
from ranking.model_paths import model_path

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def check_model(model: str, revision: str | None, setting: str, chat: bool = False) -> None:
    """Raise InputError where a model lacks its configuration, tokenizer, weights, or, if asked, chat template.

    setting: that names the model, for the message. A hub's weights are left to the engine to fetch.
    """
    from students.bases import read_model  # here: it brings torch, which not every process needs

    path = model_path(model)
    where = f"{setting} {model!r}"
    _, tokenizer = read_model(path, revision, where)
    if Path(path).is_dir() and not any(next(Path(path).glob(pattern), None) for pattern in _WEIGHTS):
        raise InputError(f"{where}: the folder holds no weights ({', '.join(_WEIGHTS)})")
    if chat and not tokenizer.chat_template:
        raise InputError(
            f"{where}: its tokenizer has no chat template; a model that was tuned to follow instructions is needed"
        )
