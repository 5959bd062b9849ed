"""Whether a model can be read, and a student be made of it, found out before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from ranking.errors import InputError
from students.kinds import AnySettings
from students.parting import PARTED
from students.settings import RraBertSettings


def check_base(path: str, settings: AnySettings) -> None:
    """Raise InputError where the base lacks its configuration, tokenizer or pad token, or has too few positions.

    path: folder or Hugging Face id of the base.
    """
    where = f"student {settings.name}: base {settings.base!r}"
    config, tokenizer = read_model(path, None, where)
    if not tokenizer.is_fast:
        raise InputError(f"{where}: a fast tokenizer is needed, one with a tokenizer.json")
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"{where}: its tokenizer has no pad token; set one and save it, for example tokenizer.pad_token = tokenizer.eos_token"
        )
    if isinstance(settings, RraBertSettings) and settings.reading == "parted" and config.model_type not in PARTED:
        raise InputError(
            f"{where}: reading: parted needs an architecture of {', '.join(PARTED)}, not {config.model_type}; take reading: joint"
        )
    layers: int | None = getattr(config, "num_hidden_layers", None)
    if isinstance(settings, RraBertSettings) and settings.term_control.form != "none" and layers is not None:
        layer = settings.term_control.layer
        if not -layers - 1 <= layer <= layers:
            raise InputError(
                f"{where}: term_control.layer {layer} is none of its layers, 0 (the embeddings) to {layers}, or -1 for the last"
            )
    most = positions(config)
    if most is not None and settings.max_length > most:
        raise InputError(f"{where}: max_length {settings.max_length} is more than the {most} positions that it has")


def read_model(path: str, revision: str | None, where: str) -> tuple[Any, Any]:
    """Read a model's configuration and tokenizer. where: names it in messages. Raises InputError where one cannot be read."""
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise InputError(f"{where}: the folder holds no config.json; a model saved with save_pretrained is needed")
    try:
        config = AutoConfig.from_pretrained(path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{where}: its configuration cannot be read ({_first(error)})") from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
    except Exception as error:
        raise InputError(f"{where}: its tokenizer cannot be read ({_first(error)})") from None
    if not tokenizer.encode("query", add_special_tokens=False):
        raise InputError(f"{where}: its tokenizer has no vocabulary; the folder lacks tokenizer.json, or the files it is made from")
    return config, tokenizer


def positions(config: Any) -> int | None:
    """How many tokens a model can read at most; None where nothing bounds it."""
    held: int | None = getattr(config, "max_position_embeddings", None)
    if held is not None and config.model_type in {"roberta", "xlm-roberta", "camembert"}:
        held -= config.pad_token_id + 1  # their positions begin behind that of padding
    return held


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
