"""Whether a teacher's model can be loaded at all, found out before anything starts."""

from __future__ import annotations

from pathlib import Path

from ranking.encoders import model_path
from ranking.errors import InputError

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")


def check_model(model: str, revision: str | None, setting: str, chat: bool = False) -> None:
    """Raise InputError where a model lacks its configuration, tokenizer, weights, or, if asked, chat template.

    setting: that names the model, for the message. A hub's weights are left to the engine to fetch.
    """
    from transformers import AutoConfig, AutoTokenizer

    path = model_path(model)
    where = f"{setting} {model!r}"
    if Path(path).is_dir():
        if not (Path(path) / "config.json").is_file():
            raise InputError(f"{where}: the folder holds no config.json; a model saved with save_pretrained is needed")
        if not any(next(Path(path).glob(pattern), None) for pattern in _WEIGHTS):
            raise InputError(f"{where}: the folder holds no weights ({', '.join(_WEIGHTS)})")
    try:
        AutoConfig.from_pretrained(path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{where}: its configuration cannot be read ({_first(error)})") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    except Exception as error:
        raise InputError(f"{where}: its tokenizer cannot be read ({_first(error)})") from None
    if not tokenizer.encode("query", add_special_tokens=False):
        raise InputError(f"{where}: its tokenizer has no vocabulary; the folder lacks tokenizer.json, or the files it is made from")
    if chat and not tokenizer.chat_template:
        raise InputError(f"{where}: its tokenizer has no chat template; a model that was tuned to follow instructions is needed")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
