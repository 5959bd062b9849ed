"""The card of a saved student: rradistill.json of its folder, which says how it is to be used. Light: nothing here imports torch."""

from __future__ import annotations

import json
from typing import Any

from ranking.blending import Blend
from ranking.errors import InputError
from ranking.storage.folder import Folder

NAME = "rradistill.json"


def read(model: Folder, called: str | None = None) -> dict[str, Any]:
    """What a student's card holds. called: what the folder is named in messages.

    Raises InputError for a folder that is no student, or one that this version does not load.
    """
    where = called or model.uri
    if not model.exists(NAME):
        raise InputError(f"{where}: no student is saved here ({NAME} is missing)")
    try:
        held: dict[str, Any] = json.loads(model.read_text(NAME))
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: {NAME} is no JSON ({error})") from None
    if held.get("head") == "interaction":
        raise InputError(f"{where}: a student with the `interaction` head of an older version; train it again")
    return held


def write_blend(model: Folder, blend: Blend) -> None:
    """Add a blend to a saved student's config."""
    model.write_text(NAME, json.dumps(read(model) | {"blend": blend.model_dump()}, indent=2))
