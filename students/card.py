"""The card of a saved student: rradistill.json of its folder, which says how it is to be used. Light: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranking.errors import InputError

NAME = "rradistill.json"


def check(card: Mapping[str, Any], where: str) -> None:
    """Raise InputError for a student that this version does not load."""
    if card.get("head") == "interaction":
        raise InputError(f"{where}: a student with the `interaction` head of an older version; train it again")
